//! A certificate and its key: can the key be used, and do the two belong together?
//!
//! Owns the words for kinds of keys that are not taken, and the order of the chain: the gateway's own certificate first,
//! then each one's issuer, whatever order the file has. Never reads a file.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::asn1_rs::{FromDer, Sequence};
use x509_parser::parse_x509_certificate;

use super::TlsError;

/// How to come by a key that works.
pub(super) const NEW_KEY: &str = "make a P-256 key with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
                                  -out client.key` and have a certificate issued for it";

/// Kinds of keys that are not taken, by the DER of their object identifier, which stands in every key file.
const NOT_TAKEN: &[(&[u8], &str)] = &[
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], "an ECDSA key on the curve P-521"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x21], "an ECDSA key on the curve P-224"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], "an ECDSA key on the curve secp256k1"),
    (&[0x06, 0x09, 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01], "an ECDSA key on a Brainpool curve"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "an Ed448 key"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "an X25519 key, which cannot sign"),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "a DSA key"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "an RSA key for PSS only"),
];

/// Where a key's object identifiers stand: at its start (PKCS#8) or, after at most 66 bytes of key, in SEC1.
const IDENTIFIERS_WITHIN: usize = 96;

/// The key, ready to sign.
pub(super) fn signing_key(
    provider: &CryptoProvider,
    key: PrivateKeyDer<'static>,
    file: &Path,
) -> Result<Arc<dyn SigningKey>, TlsError> {
    let unfit = unfit(&key);
    provider.key_provider.load_private_key(key).map_err(|error| {
        let found = unfit.unwrap_or_else(|| format!("the key cannot be used: {error}"));
        TlsError::new(
            file,
            found,
            format!("taken are ECDSA P-256 and P-384, Ed25519 and RSA of 2048 to 4096 bits; {NEW_KEY}"),
        )
    })
}

/// Why a key that is not taken is not, as far as can be told.
fn unfit(key: &PrivateKeyDer<'_>) -> Option<String> {
    let der = key.secret_der();
    if let Some(bits) = rsa_bits(key)
        && !(2048..=4096).contains(&bits)
    {
        let why = if bits < 2048 { "too short to be safe" } else { "longer than this program takes" };
        return Some(format!("this is an RSA key of {bits} bits, {why}"));
    }
    let start = &der[..der.len().min(IDENTIFIERS_WITHIN)];
    let is = |oid: &[u8]| start.windows(oid.len()).any(|window| window == oid);
    let (_, what) = NOT_TAKEN.iter().find(|(oid, _)| is(oid))?;
    Some(format!("this is {what}, which this program does not take"))
}

/// The length of an RSA key: of the second number in RSAPrivateKey (RFC 8017, A.1.2).
fn rsa_bits(key: &PrivateKeyDer<'_>) -> Option<usize> {
    let rsa = |der: &[u8]| {
        let (_, sequence) = Sequence::from_der(der).ok()?;
        let (rest, _version) = x509_parser::asn1_rs::Integer::from_der(&sequence.content).ok()?;
        let (_, modulus) = x509_parser::asn1_rs::Any::from_der(rest).ok()?;
        if modulus.header.tag() != x509_parser::asn1_rs::Tag::Integer {
            return None;
        }
        let bytes: &[u8] = modulus.data;
        let number = &bytes[bytes.iter().position(|byte| *byte != 0)?..];
        Some(number.len() * 8 - number[0].leading_zeros() as usize)
    };
    match key {
        PrivateKeyDer::Pkcs1(key) => rsa(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => {
            // PrivateKeyInfo (RFC 5208, 5): version, algorithm, and the key in an OCTET STRING.
            let (_, info) = Sequence::from_der(key.secret_pkcs8_der()).ok()?;
            let (rest, _version) = x509_parser::asn1_rs::Integer::from_der(&info.content).ok()?;
            let (rest, _algorithm) = Sequence::from_der(rest).ok()?;
            let (_, inner) = x509_parser::asn1_rs::OctetString::from_der(rest).ok()?;
            rsa(inner.as_ref())
        }
        _ => None,
    }
}

/// The chain in the order TLS wants it, with the certificate of this key first.
pub(super) fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    cert_file: &Path,
    key_file: &Path,
) -> Result<CertifiedKey, TlsError> {
    let chain = in_order(chain, &*key);
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        // Unknown: the key does not say what it belongs to; the handshake will show it.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::new(
            key_file,
            format!("the key does not belong to a certificate in {}", cert_file.display()),
            "both must come from the same request; if they are being replaced just now, it goes on by itself when both \
             are there",
        )),
        Err(error) => Err(TlsError::new(
            cert_file,
            format!("the certificate cannot be used: {error}"),
            "copy it again from where it was issued",
        )),
    }
}

/// Puts the key's own certificate first and each one's issuer behind it; what is in no such line keeps its order at the
/// end.
fn in_order(mut rest: Vec<CertificateDer<'static>>, key: &dyn SigningKey) -> Vec<CertificateDer<'static>> {
    let Some(public) = key.public_key() else { return rest };
    let own = |der: &CertificateDer<'_>| {
        parse_x509_certificate(der).is_ok_and(|(_, parsed)| parsed.tbs_certificate.subject_pki.raw == public.as_ref())
    };
    let mut sorted = Vec::with_capacity(rest.len());
    let mut next = rest.iter().position(own);
    while let Some(index) = next {
        let last = rest.remove(index);
        next = parse_x509_certificate(&last).ok().and_then(|(_, last)| {
            rest.iter().position(|der| {
                parse_x509_certificate(der).is_ok_and(|(_, parsed)| parsed.subject().as_raw() == last.issuer().as_raw())
            })
        });
        sorted.push(last);
    }
    sorted.append(&mut rest);
    sorted
}
