//! The WebDAV adapter against real servers.
