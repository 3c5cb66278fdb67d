//! Requests and documents of the distribution protocol, in tables.
