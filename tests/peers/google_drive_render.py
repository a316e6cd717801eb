"""How files, revisions and drives of the fake Google Drive look in replies: their fields, and the values of them."""

from google_api import below, select
from google_drive_store import rfc3339

OFFICE = "application/vnd.openxmlformats-officedocument."
OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
EXPORTS = {
    "application/vnd.google-apps.document": [
        OFFICE + "wordprocessingml.document",
        OPEN_DOCUMENT + "text",
        "application/rtf",
        "application/pdf",
        "text/plain",
        "application/zip",
        "application/epub+zip",
        "text/markdown",
    ],
    "application/vnd.google-apps.spreadsheet": [
        OFFICE + "spreadsheetml.sheet",
        "application/x-vnd.oasis.opendocument.spreadsheet",
        "application/pdf",
        "application/zip",
        "text/csv",
        "text/tab-separated-values",
    ],
    "application/vnd.google-apps.presentation": [
        OFFICE + "presentationml.presentation",
        OPEN_DOCUMENT + "presentation",
        "application/pdf",
        "text/plain",
        "image/jpeg",
        "image/png",
        "image/svg+xml",
    ],
    "application/vnd.google-apps.drawing": ["application/pdf", "image/jpeg", "image/png", "image/svg+xml"],
}

# Fields of a file that programs may write, and that change nothing else here.
PLAIN_FIELDS = {
    "description": "",
    "starred": False,
    "properties": None,
    "appProperties": None,
    "originalFilename": None,
    "folderColorRgb": None,
    "copyRequiresWriterPermission": False,
    "viewersCanCopyContent": True,
    "writersCanShare": True,
}
# Capabilities that nobody has who lacks `canEdit`.
WRITING = set("canModifyContent canRename canTrash canUntrash canDelete canAddChildren canMoveItemWithinDrive".split())
DRIVE_CAPABILITIES = "canAddChildren canEdit canDownload canListChildren canRename".split()
USER = {
    "kind": "drive#user",
    "displayName": "Tess Tester",
    "me": True,
    "permissionId": "01234567890123456789",
    "emailAddress": "tester@example.com",
}


def render_revision(file, revision):
    rendered = {
        "kind": "drive#revision",
        "id": revision.id,
        "mimeType": revision.mime,
        "modifiedTime": rfc3339(revision.modified),
        "lastModifyingUser": USER,
    }
    if file.is_google_type:
        return rendered | {"published": False, "exportLinks": export_links(file)}
    return rendered | {
        "keepForever": revision.keep_forever,
        "originalFilename": revision.name,
        "md5Checksum": revision.content.md5,
        "size": str(len(revision.content.data)),
    }


def render_drive(drive):
    return {
        "kind": "drive#drive",
        "id": drive.id,
        "name": drive.name,
        "createdTime": rfc3339(drive.created),
        "hidden": False,
        "capabilities": dict.fromkeys(DRIVE_CAPABILITIES, True),
        "restrictions": {},
    }


def export_links(file):
    place = f"https://docs.google.com/feeds/download/documents/export/Export?id={file.id}&exportFormat="
    return {mime: place + mime for mime in EXPORTS.get(file.mime, ())}


def capabilities(file):
    is_root = file.parent is None and file.is_mine
    held = {name: not ("canEdit" in file.denied or is_root and name != "canAddChildren") for name in WRITING}
    held |= {"canEdit": True, "canDownload": not file.is_folder, "canCopy": not file.is_folder, "canShare": True}
    held |= {"canListChildren": file.is_folder, "canReadRevisions": not file.is_folder}
    held["canAddChildren"] = held["canAddChildren"] and file.is_folder
    return {name: value and name not in file.denied for name, value in held.items()}


def if_blob(value):
    """A field that only files with bytes have."""
    return lambda store, file: None if file.is_google_type else value(file)


def extension(file):
    return file.name.rpartition(".")[2] if "." in file.name else ""


def parents(store, file):
    return None if file.parent is None else [file.parent]


def shortcut_details(store, file):
    if file.target is None:
        return None
    target = store.files.get(file.target)
    return {"targetId": file.target, **({"targetMimeType": target.mime} if target else {})}


# Google has sizes for its documents too, which tell nothing of what an export will have.
FILE_FIELDS = {
    "kind": lambda store, file: "drive#file",
    "id": lambda store, file: file.id,
    "name": lambda store, file: file.name,
    "mimeType": lambda store, file: file.mime,
    "parents": parents,
    "spaces": lambda store, file: ["drive"],
    "trashed": lambda store, file: store.is_trashed(file),
    "explicitlyTrashed": lambda store, file: file.trashed_time is not None,
    "trashedTime": lambda store, file: rfc3339(file.trashed_time) if file.drive and file.trashed_time else None,
    "createdTime": lambda store, file: rfc3339(file.created),
    "modifiedTime": lambda store, file: rfc3339(file.modified),
    "version": lambda store, file: str(file.version),
    "size": lambda store, file: str(len(file.head.content.data)) if file.revisions else None,
    "quotaBytesUsed": lambda store, file: str(sum(len(each.content.data) for each in file.revisions)),
    "md5Checksum": if_blob(lambda file: file.head.content.md5),
    "sha1Checksum": if_blob(lambda file: file.head.content.sha1),
    "sha256Checksum": if_blob(lambda file: file.head.content.sha256),
    "headRevisionId": if_blob(lambda file: file.head.id),
    "originalFilename": if_blob(lambda file: file.written.get("originalFilename", file.revisions[0].name)),
    "fileExtension": if_blob(extension),
    "fullFileExtension": if_blob(extension),
    "webContentLink": if_blob(lambda file: f"https://drive.google.com/uc?id={file.id}&export=download"),
    "webViewLink": lambda store, file: f"https://drive.google.com/file/d/{file.id}/view",
    "exportLinks": lambda store, file: export_links(file) or None,
    "shortcutDetails": shortcut_details,
    "driveId": lambda store, file: file.drive,
    "teamDriveId": lambda store, file: file.drive,
    "ownedByMe": lambda store, file: file.is_mine if file.drive is None else None,
    "owners": lambda store, file: [USER] if file.is_mine and file.drive is None else None,
    "shared": lambda store, file: file.shared_time is not None if file.drive is None else None,
    "sharedWithMeTime": lambda store, file: rfc3339(file.shared_time) if file.shared_time else None,
    "capabilities": lambda store, file: capabilities(file),
    "viewedByMe": lambda store, file: file.is_mine,
    "modifiedByMe": lambda store, file: file.is_mine,
    "isAppAuthorized": lambda store, file: True,
    "lastModifyingUser": lambda store, file: USER,
}


def plain_field(name, default):
    return lambda store, file: file.written.get(name, default)


FILE_FIELDS |= {name: plain_field(name, default) for name, default in PLAIN_FIELDS.items() if name not in FILE_FIELDS}


def render_file(store, file, mask):
    """What a mask asks for of a file."""
    rendered = {}
    for name in FILE_FIELDS if mask is None or "*" in mask else mask:
        # Google leaves out what a file doesn't have.
        value = FILE_FIELDS[name](store, file) if name in FILE_FIELDS else None
        if value is not None:
            rendered[name] = select(below(mask, name), value)
    return rendered
