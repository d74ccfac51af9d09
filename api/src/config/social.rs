//! `[social]`: what all providers share.

use std::path::PathBuf;

use reqwest::Certificate;
use serde::Deserialize;

use crate::redirect_uris::RedirectUris;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Social {
    /// Where apps may have people sent back to, exactly.
    pub redirect_uris: RedirectUris,
    /// A PEM file with roots to believe besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Social {
    /// The certificates of the file, if one is named.
    pub fn roots(&self) -> Result<Vec<Certificate>, String> {
        let Some(file) = &self.ca_file else { return Ok(Vec::new()) };
        let refused = |why: &str| format!("social.ca_file = {}: {why}", file.display());
        let pem = std::fs::read(file).map_err(|error| refused(&format!("cannot read it: {error}")))?;
        match Certificate::from_pem_bundle(&pem) {
            Ok(roots) if !roots.is_empty() => Ok(roots),
            _ => Err(refused("there is no certificate in PEM in it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_said_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots.pem");
        let social = Social { ca_file: Some(file.clone()), ..Social::default() };
        assert!(social.roots().unwrap_err().contains("roots.pem"));
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(social.roots().unwrap_err().contains("social.ca_file"), "{text}");
        }
        assert!(Social::default().roots().unwrap().is_empty());
    }
}
