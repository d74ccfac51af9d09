//! The secret of an installation that configures none: a file in the data directory, made once.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use doorstep_core::chance::Chance;
use doorstep_core::keyring::MasterSecret;
use zeroize::Zeroizing;

const NAME: &str = "secret.key";

/// Reads the secret, where there is a file. One that others can read is refused.
pub fn find(data_dir: &Path) -> Result<Option<MasterSecret>, String> {
    let path = data_dir.join(NAME);
    let shown = path.display();
    let mode = match fs::metadata(&path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    if mode & 0o077 != 0 {
        return Err(format!("{shown} can be read by others (mode {:o}): run chmod 600 {shown}", mode & 0o777));
    }
    let text = Zeroizing::new(fs::read_to_string(&path).map_err(|error| format!("cannot read {shown}: {error}"))?);
    MasterSecret::parse(&text).map(Some).map_err(|why| {
        format!(
            "{shown} holds no secret: {why}. Bring the file back from a backup; without it nothing sealed can be read"
        )
    })
}

/// Makes a secret for a database that has none yet. It is there as a whole or not at all, and of several who make
/// one at once all get the same.
pub fn make(data_dir: &Path, chance: &Chance) -> Result<MasterSecret, String> {
    make_private_dir(data_dir)?;
    let path = data_dir.join(NAME);
    let draft = data_dir.join(format!("{NAME}.{}", std::process::id()));
    let made = write(&draft, &MasterSecret::generate(chance)).and_then(|()| match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => File::open(data_dir)?.sync_all(),
    });
    let tidied = fs::remove_file(&draft);
    made.and(tidied).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    find(data_dir)?.ok_or_else(|| format!("{} went away", path.display()))
}

fn write(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()
}

/// What to do where the secret of a database is gone; a new one would open nothing of what is sealed.
#[must_use]
pub fn missing(data_dir: &Path) -> String {
    format!(
        "this database was set up with a secret, and {} is not there: bring the file back from a backup, or set \
         server.secret (DOORSTEP_SERVER_SECRET) to that secret",
        data_dir.join(NAME).display()
    )
}

/// Makes a directory that only its owner can look into; leaves one that is there as it is.
pub fn make_private_dir(path: &Path) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| format!("cannot make the directory {}: {error}", path.display()))
}

/// Makes a file that only its owner can read, or one that is there so; what `SQLite` puts beside it is the same.
pub fn make_private_file(path: &Path) -> Result<(), String> {
    let private = |path: &Path| {
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    };
    private(path).map_err(|error| format!("cannot make {} private: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ft_28_a_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert!(find(&data).unwrap().is_none());
        make(&data, &Chance::System).unwrap();
        let path = data.join(NAME);
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        make(&data, &Chance::System).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = find(&data).err().unwrap();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        make_private_file(&data.join("database")).unwrap();
        fs::set_permissions(data.join("database"), fs::Permissions::from_mode(0o644)).unwrap();
        make_private_file(&data.join("database")).unwrap();
        assert_eq!(fs::metadata(data.join("database")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "").unwrap();
        assert!(find(&data).err().unwrap().contains("backup"));
    }
}
