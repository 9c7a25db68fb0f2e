use super::*;
use crate::remote::{
    Fault,
    transport::{Ask, HttpOptions, Transport},
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Method, header::HeaderValue};
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    /// As AOSP has them: text for people around what counts.
    fn on_android(&self) -> String {
        let text = "Certificate:\n    Data:\n        Version: 3 (0x2)\nSHA1 Fingerprint=00:11\n";
        format!("{}{text}", self.certificate.pem())
    }

    /// The address of a server of this authority, on this machine.
    async fn server(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let mut stream = tls.accept(stream).await?;
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await?;
                    stream
                        .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                        .await?;
                    stream.shutdown().await
                });
            }
        });
        url
    }
}

/// A phone's folders: of the module that is updated, of the system's image, and of what is switched off.
struct Phone {
    updated: TempDir,
    image: TempDir,
    off: TempDir,
}

impl Phone {
    fn new() -> Self {
        let folder = || tempfile::tempdir().unwrap();
        Self {
            updated: folder(),
            image: folder(),
            off: folder(),
        }
    }

    fn roots(&self) -> RootCertStore {
        roots(&Folders {
            trusted: vec![self.updated.path().into(), self.image.path().into()],
            switched_off: self.off.path().into(),
        })
    }

    /// What the transport of this phone says of a server.
    async fn asks(&self, url: &str) -> Result<(), Fault> {
        let transport = Transport::trusting(HttpOptions::new(url), self.roots()).unwrap();
        let ask = Ask {
            method: Method::GET,
            url: transport.base(),
            token: None,
            accept: HeaderValue::from_static("*/*"),
            header: None,
            body: None,
            head_is_enough: |_| true,
        };
        transport.exchange(ask).await.map(drop)
    }
}

fn put(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), bytes).unwrap();
}

#[tokio::test]
async fn a_server_of_an_authority_in_the_folder_is_trusted_and_another_is_not() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let phone = Phone::new();
    put(&phone.updated, "11111111.0", ours.on_android());
    assert_eq!(phone.asks(&ours.server().await).await, Ok(()));
    assert_eq!(phone.asks(&other.server().await).await, Err(Fault::Untrusted));
}

#[tokio::test]
async fn the_image_counts_only_where_the_updated_list_is_absent() {
    let (ours, dropped) = (Authority::new("ours"), Authority::new("dropped"));
    let phone = Phone::new();
    put(&phone.image, "22222222.0", dropped.on_android());
    assert_eq!(phone.asks(&dropped.server().await).await, Ok(()), "an older Android");
    put(&phone.updated, "11111111.0", ours.on_android());
    assert_eq!(phone.asks(&dropped.server().await).await, Err(Fault::Untrusted));
}

#[tokio::test]
async fn what_the_user_switched_off_is_not_trusted() {
    let (ours, off) = (Authority::new("ours"), Authority::new("off"));
    let phone = Phone::new();
    put(&phone.updated, "11111111.0", ours.on_android());
    put(&phone.updated, "22222222.0", off.on_android());
    put(&phone.off, "22222222.0", off.certificate.der());
    assert_eq!(phone.asks(&off.server().await).await, Err(Fault::Untrusted));
    assert_eq!(phone.asks(&ours.server().await).await, Ok(()));

    put(&phone.off, "11111111.0", ours.certificate.der());
    assert!(
        phone.roots().is_empty(),
        "all off: nobody is trusted, and no other list steps in"
    );
}

#[tokio::test]
async fn garbage_is_passed_over() {
    let ours = Authority::new("ours");
    let phone = Phone::new();
    put(&phone.updated, "00000000.0", [0xff; 512]);
    put(&phone.updated, "00000001.0", "");
    put(
        &phone.updated,
        "00000002.0",
        "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
    );
    put(
        &phone.updated,
        "00000003.0",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    put(&phone.updated, "00000004.0", &ours.on_android()[..200]);
    put(&phone.off, "00000000.0", [0xff; 512]);
    fs::create_dir(phone.updated.path().join("00000005.0")).unwrap();
    fs::create_dir(phone.off.path().join("00000005.0")).unwrap();
    put(&phone.updated, "11111111.0", ours.on_android());
    assert_eq!(phone.roots().len(), 1);
    assert_eq!(phone.asks(&ours.server().await).await, Ok(()));
}

#[test]
fn without_a_certificate_in_any_folder_mozillas_list_is_the_last_resort() {
    let phone = Phone::new();
    let known = |roots: &RootCertStore, name: &str| {
        roots
            .roots
            .iter()
            .any(|it| String::from_utf8_lossy(it.subject.as_ref()).contains(name))
    };
    put(&phone.updated, "00000000.0", "garbage");
    assert!(known(&phone.roots(), "ISRG Root X1"), "folders without a certificate");
    let nowhere = roots(&Folders {
        trusted: vec![phone.image.path().join("absent")],
        switched_off: phone.off.path().join("absent"),
    });
    assert!(known(&nowhere, "ISRG Root X1"), "no folders");
    put(&phone.image, "11111111.0", Authority::new("ours").on_android());
    assert!(!known(&phone.roots(), "ISRG Root X1"));
}

#[test]
fn each_user_of_a_device_switches_off_for_themselves() {
    let off = |uid| Folders::of_android(uid).switched_off;
    assert_eq!(off(10_123), Path::new("/data/misc/user/0/cacerts-removed"));
    assert_eq!(off(1_010_123), Path::new("/data/misc/user/10/cacerts-removed"));
}
