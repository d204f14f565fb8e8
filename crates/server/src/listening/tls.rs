//! Encryption: a certificate and its key from two files, read again when they change. Connections that are open stay,
//! and a pair that does not work never takes the place of one that does.

use super::limits::{CERTIFICATE_POLL, PEM_BYTES};
use crate::error::ServerError;
use crate::settings::Settings;
use crate::ticker::Ticker;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the connections of a server are encrypted, for all of its ports.
#[derive(Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    certificate: Arc<Certificate>,
    /// Looks at the files for as long as anything listens.
    _ticker: Arc<Ticker>,
}

/// The certificate that is shown to clients from now on.
#[derive(Debug)]
struct Certificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// As the settings say; none where they say nothing of it.
    pub fn of(settings: &Settings) -> Result<Option<Self>, ServerError> {
        let files = match (&settings.tls_cert, &settings.tls_key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => Files { certificate: certificate.clone(), key: key.clone() },
            (one, _) => {
                let missing = if one.is_some() { "tls_key" } else { "tls_cert" };
                let why = format!("a certificate and its key belong together: set `{missing}` as well");
                return Err(ServerError::Invalid(why));
            }
        };
        let provider = Arc::new(default_provider());
        let mut pair = files.read().map_err(ServerError::Invalid)?;
        let first = pair.certified(&files, &provider).map_err(ServerError::Invalid)?;
        let certificate = Arc::new(Certificate(ArcSwap::from_pointee(first)));
        let (shown, with) = (certificate.clone(), provider.clone());
        let mut unreadable = false;
        let ticker = Ticker::start("thalweg-tls", CERTIFICATE_POLL, move || match files.read() {
            Ok(now) => {
                unreadable = false;
                if now != pair {
                    shown.replace(now.certified(&files, &with));
                    pair = now;
                }
            }
            Err(why) => {
                if !unreadable {
                    tracing::error!("{why}; the certificate stays as it was");
                }
                unreadable = true;
            }
        })?;
        Ok(Some(Self { provider, certificate, _ticker: Arc::new(ticker) }))
    }

    /// For connections that speak one of these protocols; none: whatever they speak.
    pub fn config(&self, protocols: &[&str]) -> Result<Arc<ServerConfig>, ServerError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerError::Internal(format!("TLS cannot be set up: {error}")))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.certificate.clone());
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl Certificate {
    fn replace(&self, by: Result<CertifiedKey, String>) {
        match by {
            Ok(new) => {
                self.0.store(Arc::new(new));
                tracing::info!("new connections get the new certificate");
            }
            Err(why) => tracing::error!("{why}; the certificate stays as it was"),
        }
    }
}

/// Where a certificate, with those that lead to its authority, and its key are.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(&self) -> Result<Pair, String> {
        Ok(Pair { certificate: read("tls_cert", &self.certificate)?, key: read("tls_key", &self.key)? })
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("`{setting}`, {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(PEM_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_BYTES {
        return Err(format!("`{setting}`, {}: more than {PEM_BYTES} bytes are no PEM file", path.display()));
    }
    Ok(bytes)
}

impl Pair {
    /// What clients are shown; refused where the two do not belong together.
    fn certified(&self, files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let shown = files.certificate.display();
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| format!("`tls_cert`, {shown}: {error}"))?;
        if chain.is_empty() {
            return Err(format!("`tls_cert`, {shown}: there is no certificate in it: name a PEM file with the chain"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            format!("`tls_key`, {}: {error}: name a PEM file with the private key", files.key.display())
        })?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| format!("`tls_cert` {shown} and `tls_key` {}: {error}", files.key.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_and_files_that_are_none_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cert.pem");
        let refused = |settings: &Settings| Tls::of(settings).err().unwrap().to_string();
        let half = Settings { tls_cert: Some(path.clone()), ..Settings::default() };
        assert!(refused(&half).contains("set `tls_key` as well"));
        let whole = Settings { tls_key: Some(path.clone()), ..half };
        assert!(refused(&whole).contains("cert.pem"));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(refused(&whole).contains("there is no certificate in it"));
        assert!(Tls::of(&Settings::default()).unwrap().is_none());
    }
}
