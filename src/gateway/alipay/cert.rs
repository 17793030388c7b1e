//! The certificates of Alipay's certificate mode: what a key is found by, and the number Alipay knows a certificate by.
//!
//! Contract: pure. Whether a certificate can be trusted is not asked: the merchant has loaded it from Alipay's console and put it here.
//! <https://opendocs.alipay.com/common/057k53>

use md5::{Digest, Md5};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::hex;

/// What is needed of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Alipay's number of it: MD5 over issuer and serial number.
    pub(super) sn: String,
    /// Its public key, as PKCS#1 writes it.
    pub(super) public_key: Vec<u8>,
    /// Whether it was signed by RSA; others, by SM2, stand in Alipay's root file and are of no use with RSA2.
    pub(super) is_rsa: bool,
}

/// Reads a certificate, in DER.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let certificate = Certificate::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    // `Name` is written by RFC 4514: the last part first, which is how Alipay wants it.
    let issuer = content.issuer().to_string();
    let algorithm = certificate.signature_algorithm().oid.to_string();
    Some(Facts {
        sn: sn(&issuer, content.serial_number().as_bytes()),
        public_key: content.subject_public_key_info().subject_public_key.as_bytes()?.to_vec(),
        is_rsa: algorithm.starts_with("1.2.840.113549.1.1."),
    })
}

/// The number of Alipay's root certificates: those of all that were signed by RSA, joined; none if there is none.
pub(super) fn root_sn(certificates: &[Facts]) -> Option<String> {
    let numbers: Vec<&str> = certificates.iter().filter(|facts| facts.is_rsa).map(|facts| facts.sn.as_str()).collect();
    (!numbers.is_empty()).then(|| numbers.join("_"))
}

/// MD5, in hexadecimal digits, over an issuer's name and a serial number in decimal ones.
fn sn(issuer: &str, serial: &[u8]) -> String {
    hex::encode(&Md5::digest(format!("{issuer}{}", decimal(serial))))
}

/// A big-endian number, which may be longer than any integer type, in decimal digits.
fn decimal(bytes: &[u8]) -> String {
    // Least significant digit first.
    let mut digits = vec![0_u32];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit * 256;
            *digit = carry % 10;
            carry /= 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 10)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::pem;
    use super::super::vectors::Vectors;
    use super::*;

    #[test]
    fn certificates_have_the_numbers_another_implementation_finds() {
        let vectors = Vectors::read();
        for (name, certificate) in &vectors.certificates {
            let all: Vec<Facts> =
                pem::blocks(&certificate.pem).expect("PEM").iter().map(|der| read(der).expect(name)).collect();
            let number = if all.len() == 1 { all[0].sn.clone() } else { root_sn(&all).expect("a number") };
            assert_eq!(number, certificate.sn, "{name}");
        }
    }

    /// A certificate of Alipay's own, whose number the tests of its SDK for Node tell.
    #[test]
    fn a_real_certificate_has_its_real_number() {
        let issuer =
            "CN=Ant Financial Certification Authority Class 2 R1,OU=Certification Authority,O=Ant Financial,C=CN";
        let serial = 0x2020_0514_e63c_2fe0_4d53_8716_fe21_358b_u128.to_be_bytes();
        assert_eq!(sn(issuer, &serial), "7513daaaa48aa3ba2e4018d84402479c");
    }

    #[test]
    fn long_numbers_have_decimal_digits() {
        for number in [0, 1, 9, 10, 255, 256, 65_535, 1_000_000_007, u128::MAX] {
            assert_eq!(
                decimal(&number.to_be_bytes()).trim_start_matches('0'),
                number.to_string().trim_start_matches('0')
            );
        }
        assert_eq!(decimal(&[0x01; 20]), "5731378969925109483151705226338364782964441345");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bytes in [b"".as_slice(), b"0", &[0x30; 100], &[0x30, 0x82, 0xff, 0xff]] {
            assert!(read(bytes).is_none());
        }
        assert_eq!(root_sn(&[]), None);
    }
}
