//! Folders to choose from, on the NAS and on a service.

use super::view::FoldersView;
use crate::accounts;
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http};
use crate::local::browse;
use crate::remote::{Place, Remote};
use crate::services;
use crate::settings::{Book, remote_folder};
use std::path::Path;
use std::sync::Arc;

/// Most folders that are told at once.
const MOST: usize = 1000;

/// The folders in a folder of the NAS, as far as this user may look into them.
pub(super) fn local(user: Option<&str>, folder: &Path) -> Result<FoldersView> {
    let folder = if folder.as_os_str().is_empty() { Path::new("/") } else { folder };
    must_be_absolute(folder)?;
    let (path, mut folders) = match user {
        Some(user) => accounts::readable_folders(user, folder, browse::folders)?,
        None => {
            let path = folder.canonicalize().map_err(|error| browse::cannot_look(folder, error))?;
            let folders = browse::folders(&path)?;
            (path, folders)
        }
    };
    folders.sort_unstable();
    let more = folders.len() > MOST;
    folders.truncate(MOST);
    Ok(FoldersView { path: text(&path)?, folders, more })
}

/// Makes a folder of the NAS in one that this user may change.
pub(super) fn make_local(user: Option<&str>, folder: &Path) -> Result<FoldersView> {
    must_be_absolute(folder)?;
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(wrong(folder, "it has no name"));
    };
    if name.to_str().is_none_or(|name| name.contains(char::is_control)) {
        return Err(wrong(folder, "its name has unprintable characters"));
    }
    let parent = match user {
        Some(user) => accounts::writable_folder(user, parent)?,
        None => parent.canonicalize().map_err(|error| browse::cannot_look(parent, error))?,
    };
    let path = parent.join(name);
    browse::make_folder(&path)?;
    if let Some(user) = user
        && let Err(denied) = accounts::writable_folder(user, &path)
    {
        browse::unmake_folder(&path);
        return Err(denied.remedy("make it with the file manager of the NAS, and choose it here"));
    }
    local(user, &path)
}

/// The folders in a folder of a service.
pub(super) fn remote(book: &Book, connection: &str, folder: &str) -> Result<FoldersView> {
    let folder = remote_folder(folder)?;
    let mut folders = Vec::new();
    let mut more = false;
    let enough = || Error::new(Kind::Cancelled, "listing folders", "there are very many");
    let told = open(book, connection, &folder)?.folders(&mut |name| {
        if folders.len() == MOST {
            more = true;
            return Err(enough());
        }
        folders.push(name.to_owned());
        Ok(())
    });
    told.or_else(|error| if more { Ok(()) } else { Err(error) })?;
    folders.sort_unstable();
    folders.dedup();
    Ok(FoldersView { path: format!("/{folder}"), folders, more })
}

/// Makes a folder of a service.
pub(super) fn make_remote(book: &Book, connection: &str, folder: &str) -> Result<FoldersView> {
    let folder = remote_folder(folder)?;
    open(book, connection, &folder)?.make_folder(Place::default())?;
    Ok(FoldersView { path: format!("/{folder}"), folders: Vec::new(), more: false })
}

fn open(book: &Book, connection: &str, root: &str) -> Result<Arc<dyn Remote>> {
    let connection = book.connection(connection)?;
    let service = services::find(&connection.service)?;
    let values = book.values(&connection)?;
    let options = values.http_options(service.descriptor(), 1);
    service.open(&values, Http::new(&options, Cancel::default())?, root)
}

fn must_be_absolute(path: &Path) -> Result<()> {
    if path.is_absolute() { Ok(()) } else { Err(wrong(path, "it isn't absolute")) }
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| wrong(path, "its path isn't valid UTF-8"))
}

fn wrong(path: &Path, cause: &str) -> Error {
    Error::new(Kind::Usage, format!("local folder {}", path.display()), cause)
        .remedy("choose another folder")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_of_people_are_told_and_made() {
        let here = std::env::temp_dir().join(format!("folders-{}", std::process::id()));
        fs::create_dir_all(here.join("photo")).unwrap();
        let here = here.canonicalize().unwrap();
        for name in ["music", "@eaDir", ".hidden", "#recycle"] {
            fs::create_dir(here.join(name)).unwrap();
        }
        fs::write(here.join("file"), "").unwrap();
        symlink(here.join("photo"), here.join("link")).unwrap();
        let view = local(None, &here).unwrap();
        assert_eq!((view.path.as_str(), view.more), (here.to_str().unwrap(), false));
        assert_eq!(view.folders, ["music", "photo"]);
        let made = make_local(None, &here.join("new")).unwrap();
        assert!(here.join("new").is_dir() && made.folders.is_empty());
        assert_eq!(make_local(None, &here.join("new")).unwrap_err().kind(), Kind::Exists);
        for wrong in ["", "relative", "/"] {
            assert!(make_local(None, Path::new(wrong)).is_err(), "{wrong}");
        }
        assert!(make_local(None, &here.join("a\nb")).is_err());
        assert_eq!(local(None, &here.join("nowhere")).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(local(None, Path::new("relative")).unwrap_err().kind(), Kind::Usage);
        let top = local(None, Path::new("")).unwrap();
        assert!(top.path == "/" && !top.folders.iter().any(|name| name == "proc"));
        fs::remove_dir_all(here).unwrap();
    }
}
