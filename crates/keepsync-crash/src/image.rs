//! A folder's files, kept to begin again from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image(Vec<(PathBuf, Content)>);

#[derive(Debug, Clone)]
enum Content {
    Bytes(Vec<u8>),
    /// So many of them: the reserve, which nobody reads.
    Zeros(u64),
}

impl Image {
    pub(crate) fn take(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let bytes = fs::read(&path)?;
            let content = match path.extension().is_some_and(|extension| extension == "reserve") {
                true => Content::Zeros(bytes.len() as u64),
                false => Content::Bytes(bytes),
            };
            files.push((PathBuf::from(path.file_name().unwrap_or_default()), content));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self(files))
    }

    /// Nothing else stays in the folder.
    pub(crate) fn put(&self, folder: &Path) -> io::Result<()> {
        clear(folder)?;
        for (name, content) in &self.0 {
            match content {
                Content::Bytes(bytes) => fs::write(folder.join(name), bytes)?,
                Content::Zeros(len) => fs::File::create(folder.join(name))?.set_len(*len)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// The damaged files that were set aside.
pub(crate) fn set_aside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if name.contains(".damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm") {
            found.push(path);
        }
    }
    Ok(found)
}
