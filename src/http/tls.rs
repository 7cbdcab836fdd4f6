//! Which servers are believed.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{CaBundle, ClientOptions, HttpError, Identity, Tls};

/// The TLS set-up for `options`.
///
/// Made here and not by `reqwest`, which refuses to build a client at all where the system has no CA bundle.
pub(crate) fn config(options: &ClientOptions) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(HttpError::setup)?;
    let verifier: Arc<dyn ServerCertVerifier> = match options.tls {
        Tls::Verify => {
            let roots = roots(options)?;
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let unverified = options.unverified_hosts.iter().map(|host| bare(host).to_owned()).collect();
            let chain = chain.build().map_err(HttpError::setup)?;
            Arc::new(Trusted { chain, extra: extra(options)?, unverified })
        }
        Tls::NoVerify => Arc::new(AnyCertificate { provider }),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    match &options.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let bad = |why: String| HttpError::BadIdentity { label: identity.label.clone(), why };
            let (certificates, key) = parts(identity).map_err(bad)?;
            builder.with_client_auth_cert(certificates, key).map_err(|error| bad(error.to_string()))
        }
    }
}

/// The host without the brackets around an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

fn parts(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&identity.certificates).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is no PEM certificate in it".to_owned());
    }
    // The parser's message might quote the key.
    let key = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes());
    Ok((certificates, key.map_err(|_| "there is no unencrypted PEM private key in it".to_owned())?))
}

fn roots(options: &ClientOptions) -> Result<RootCertStore, HttpError> {
    let mut store = RootCertStore::empty();
    match &options.roots {
        Some(bundle) => add(&mut store, bundle)?,
        None => {
            store.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
    }
    for bundle in &options.extra_roots {
        add(&mut store, bundle)?;
    }
    Ok(store)
}

/// The certificates of the extra bundles.
fn extra(options: &ClientOptions) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bundles: Result<Vec<_>, _> = options.extra_roots.iter().map(certificates).collect();
    Ok(bundles?.concat())
}

fn certificates(bundle: &CaBundle) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    CertificateDer::pem_slice_iter(&bundle.pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| HttpError::BadCertificates { label: bundle.label.clone(), why: error.to_string() })
}

/// Adds what can be used of `bundle`: system bundles do hold certificates that no verifier takes.
fn add(store: &mut RootCertStore, bundle: &CaBundle) -> Result<(), HttpError> {
    let certificates = certificates(bundle)?;
    let found = certificates.len();
    match store.add_parsable_certificates(certificates) {
        (0, _) => Err(HttpError::BadCertificates {
            label: bundle.label.clone(),
            why: format!("{found} PEM certificates, none of them readable"),
        }),
        (_, _) => Ok(()),
    }
}

/// Believes what leads to a root, and a self-signed certificate that was itself given as trusted.
///
/// The second is what `openssl req -x509` makes for a registry in a hurry: it calls itself a CA, which webpki refuses
/// in a server's certificate (after having checked its dates), and Go's tools, which users compare with, accept.
#[derive(Debug)]
struct Trusted {
    chain: Arc<WebPkiServerVerifier>,
    extra: Vec<CertificateDer<'static>>,
    /// Hosts that are believed whatever they show.
    unverified: Vec<String>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.unverified.iter().any(|host| *host == server_name.to_str()) {
            return Ok(ServerCertVerified::assertion());
        }
        let verdict = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let is_misused_ca = matches!(verdict, Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))));
        if !is_misused_ca || !self.extra.iter().any(|known| known == end_entity) {
            return verdict;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Believes every certificate (`--tls-verify=false`), but still wants the handshake signed with its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_any_bundle_the_embedded_roots_are_used() {
        assert!(roots(&ClientOptions::default()).unwrap().len() > 100);
    }

    #[test]
    fn a_bundle_without_certificates_is_named() {
        let bundle = CaBundle { label: "/etc/ca.pem".to_owned(), pem: b"hello".to_vec() };
        let options = ClientOptions { extra_roots: vec![bundle], ..ClientOptions::default() };
        let error = roots(&options).unwrap_err().to_string();
        assert_eq!(error, "/etc/ca.pem: no usable CA certificate in it: 0 PEM certificates, none of them readable");
    }
}
