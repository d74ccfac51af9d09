//! `[social]`: what all providers share.

use std::path::{Path, PathBuf};

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
    /// The file's text.
    pub fn roots(&self) -> Result<Option<Vec<u8>>, String> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("social.ca_file = {}: cannot read it: {error}", path.display()))
        };
        self.ca_file.as_deref().map(read).transpose()
    }
}
