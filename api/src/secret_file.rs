//! The secret of an installation that configures none: a file in the data directory, made once.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use doorstep_core::chance::Chance;
use doorstep_core::keyring::MasterSecret;
use zeroize::Zeroizing;

const NAME: &str = "secret.key";

/// Reads the secret, or makes one where there is no file yet. A file that others can read is refused.
pub fn read_or_make(data_dir: &Path, chance: &Chance) -> Result<MasterSecret, String> {
    make_private_dir(data_dir)?;
    let path = data_dir.join(NAME);
    let fresh = MasterSecret::generate(chance);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).and_then(|mut file| {
        file.write_all(fresh.as_bytes())?;
        file.sync_all()
    });
    match made {
        Ok(()) => MasterSecret::parse(&fresh),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path),
        Err(error) => Err(format!("cannot make {}: {error}", path.display())),
    }
}

fn read(path: &Path) -> Result<MasterSecret, String> {
    let shown = path.display();
    let mode = fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{shown} can be read by others (mode {:o}): run chmod 600 {shown}", mode & 0o777));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?);
    MasterSecret::parse(&text).map_err(|why| {
        format!(
            "{shown} holds no secret: {why}. Bring the file back from a backup; without it nothing sealed can be read"
        )
    })
}

/// Makes a directory that only its owner can look into; leaves one that is there as it is.
pub fn make_private_dir(path: &Path) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| format!("cannot make the directory {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ft_28_a_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        read_or_make(&data, &Chance::System).unwrap();
        let path = data.join(NAME);
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        read_or_make(&data, &Chance::System).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_or_make(&data, &Chance::System).err().unwrap();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "").unwrap();
        assert!(read_or_make(&data, &Chance::System).err().unwrap().contains("backup"));
    }
}
