//! What the token challenge does with a registry and a token server that answer from functions.
