//! The certificate of the data port: the keys `tls.crt` and `tls.key` of the Secret that `--tls-secret` names.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::fetch::references::Defect;
use crate::secrets::Secrets;
use crate::server::Tls;

/// The keys of a Secret of the type `kubernetes.io/tls`.
const KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// A Secret and what was made of it.
#[derive(Debug)]
pub struct Certificate {
    secret: String,
    tls: Arc<Tls>,
    defect: Mutex<Option<Defect>>,
    /// What is in use: chain and key.
    installed: Mutex<Option<[Vec<u8>; 2]>>,
}

impl Certificate {
    /// None yet.
    pub fn of_secret(secret: String) -> Self {
        let tls = Arc::default();
        Self { secret, tls, defect: Mutex::default(), installed: Mutex::default() }
    }

    /// Name of the Secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What the port uses.
    pub fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// What was wrong with the Secret when it was last read; the certificate before it is used then, if there is one.
    pub fn defect(&self) -> Option<Defect> {
        self.defect.lock().clone()
    }

    /// Uses what the Secret holds now, if it can be used.
    pub fn renew(&self, secrets: &Secrets) {
        let defect = self.install(secrets).err();
        let mut known = self.defect.lock();
        if *known != defect {
            if let Some(defect) = &defect {
                tracing::error!(problem = %defect.text, "the certificate of the data port cannot be used");
            } else {
                tracing::info!(secret = %self.secret, "the certificate of the data port can be used");
            }
            *known = defect;
        }
    }

    fn install(&self, secrets: &Secrets) -> Result<(), Defect> {
        let secret = &self.secret;
        if !secrets.contains(secret) {
            let text = format!("there is no secret `{secret}` for the data port");
            return Err(Defect { reason: "SecretNotFound", key: None, text });
        }
        let defect = |reason, key: &str, text| Err(Defect { reason, key: Some(key.to_owned()), text });
        let mut found = [Vec::new(), Vec::new()];
        for (key, place) in KEYS.into_iter().zip(&mut found) {
            match secrets.get(secret, key) {
                None => return defect("KeyMissing", key, format!("secret `{secret}` has no key `{key}`")),
                Some(value) if value.trim_ascii().is_empty() => {
                    return defect("KeyEmpty", key, format!("key `{key}` of secret `{secret}` is empty"));
                }
                Some(value) => value.clone_into(place),
            }
        }
        let mut installed = self.installed.lock();
        if installed.as_ref() == Some(&found) {
            return Ok(());
        }
        if let Err(error) = self.tls.install(&found[0], &found[1]) {
            let key = KEYS[usize::from(error.is_of_key())];
            let text = format!("key `{key}` of secret `{secret}` cannot be used: {error}");
            return defect("SecretUnreadable", key, text);
        }
        *installed = Some(found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let own = rcgen::generate_simple_self_signed(["npm.team.svc".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["npm.team.svc".to_owned()]).unwrap();
        let (chain, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let foreign = other.signing_key.serialize_pem();
        let certificate = Certificate::of_secret("tls".to_owned());
        for (keys, expected) in [
            (vec![], Some(("SecretNotFound", None))),
            (vec![("ca.crt", "x")], Some(("KeyMissing", Some("tls.crt")))),
            (vec![("tls.crt", chain.as_str())], Some(("KeyMissing", Some("tls.key")))),
            (vec![("tls.crt", &chain), ("tls.key", "\n")], Some(("KeyEmpty", Some("tls.key")))),
            (vec![("tls.crt", "nonsense"), ("tls.key", &key)], Some(("SecretUnreadable", Some("tls.crt")))),
            (vec![("tls.crt", &chain), ("tls.key", "nonsense")], Some(("SecretUnreadable", Some("tls.key")))),
            (vec![("tls.crt", &chain), ("tls.key", &foreign)], Some(("SecretUnreadable", Some("tls.key")))),
            (vec![("tls.crt", &chain), ("tls.key", &key)], None),
            (vec![], Some(("SecretNotFound", None))),
            (vec![("tls.crt", &chain), ("tls.key", &key)], None),
        ] {
            let mut secrets = Secrets::default();
            for (key, value) in &keys {
                secrets.insert("tls", key, value.as_bytes().to_vec());
            }
            certificate.renew(&secrets);
            let defect = certificate.defect();
            let found = defect.as_ref().map(|defect| (defect.reason, defect.key.as_deref()));
            assert_eq!(found, expected, "{:?}", keys.iter().map(|(key, _)| key).collect::<Vec<_>>());
            assert!(defect.is_none_or(|defect| !defect.text.contains("BEGIN")));
        }
    }
}
