//! Mooring keeps folders on a NAS and folders in the cloud the same.
//!
//! A **task** keeps one local folder with one remote folder, over a **connection** to a
//! **service**. Three trees are known of every task: what the disk has (*local*), what the service
//! has (*remote*), and what both last agreed on (*synced*). A **cycle** is four steps, and data
//! flows one way through them:
//!
//! - **observe** ([`observe`]): each side is merged with what the state says it had; the news is
//!   noted. Absence is concluded only from a folder that was told to its end. What a service lists
//!   is compared with digests of its last listing first: a poll without news touches no disk.
//! - **plan** ([`plan`]): a pure function from one item's three facets to a step. Each direction
//!   has its own function and its own type of step, so that an upload-only task can't say "remove
//!   this from the disk".
//! - **execute**: a bounded number of threads carry the steps out. Nothing is replaced or removed
//!   unless it still is what the plan was made against.
//! - **commit** ([`store`]): what came of it becomes the new agreement, with its line of history.
//!
//! # The rooms
//!
//! | room | what it owns | whom it knows |
//! |---|---|---|
//! | [`error`], [`model`], [`content`], [`hash`], [`blocks`], [`progress`] | plain values: what went wrong, what was seen, what is sent, its hash and its blocks, how far it is | nobody |
//! | [`caller`], `browser` | who asks, and what browsers say of themselves | nobody |
//! | `child`, `accounts` | what programs of others print; the users of the NAS | values, rules |
//! | [`clock`] | what time it is, and waiting | values, a request to stop |
//! | `random`, `threads`, `user` | random numbers; threads and the size of their stacks; whom this program runs as | nobody |
//! | [`rules`] | names, filters, conflict names, times, the brake, schedules: pure | values, descriptors |
//! | [`plan`] | the planner: pure | values, records |
//! | [`store`] | redb: items with their facets, history | values, rules' reasons |
//! | [`local`] | the disk; the only home of file mutation | values, rules, a folder that `accounts` opened |
//! | [`http`] | connections, TLS, retries, limits, signing schemes, OAuth; the only home of sockets to services | values |
//! | [`csenc`] | files in Cloud Sync's encrypted format: read and written without a task | values, rules, local, http |
//! | [`remote`] | what an adapter implements, descriptors, access tokens | values, http |
//! | [`services`] | the registry, and one module per service | remote, http |
//! | [`crypt`] | encryption of tasks: a remote around an adapter's | values, http, csenc, remote, services |
//! | [`settings`] | connections, tasks, sealed secrets, sign-ins; where the state lies; all of it as a document | values, http, remote, services, crypt |
//! | [`observe`], `execute` | the steps of a cycle | all above |
//! | [`engine`] | one task's cycle | all above |
//! | [`admin`] | requests about settings and state, and their answers; which folders tasks may have; folders and buckets to choose from; a person's new name for an item; removed files, told and taken back | accounts, local, settings, engine |
//! | [`daemon`] | when cycles run; the socket and the panel; one thread for all of it | admin, accounts, engine, local's watch |
//! | [`cgi`] | one call of the panel: who sent it, and whether the panel did | values, accounts, the daemon's socket |
//! | [`memory`] | the program in memory, where a sleeping disk isn't needed to run it | values |
//! | [`cli`] | words in, words out | admin, daemon's client |
//!
//! # What may be in memory
//!
//! One batch of changed rows (a thousand), the state's cache (2 MiB a task), 64 KiB and a small
//! stack for each running transfer, four times that for a large download, a connection and a small
//! stack for each of three parts of large uploads, for each of all their parts some 100 bytes, and
//! there are at most 10,000 (50,000 in Azure), as for each block of a large file that changed on a
//! service that tells them, up to 64 finished transfers, one page of a
//! listing, and for each folder on the way to where a look is, at most 8,192 sorted entries; of the
//! last listing of a service, digests of some 2,000 ranges or 65,536 folders at most; up to 8,192
//! items of a listing whose order isn't that of bytes; verifying looks at both sides at once, and
//! knows at most about 4,096 changes that a feed told. Decrypting and encrypting take less than 1
//! MiB for a file of any size, and one open folder for each on the way to it. Sealing the secrets of
//! an export takes 19 MiB for a moment. In an encrypted task each transfer takes 64 KiB more, a large
//! upload four times that, and half a MiB in Cloud Sync's format; opening one takes 16 MiB for a
//! moment, and beginning to encrypt a folder, or finding out its key by the password, 32 MiB. Of
//! folders that vanished, a look knows eight bytes each. Nothing grows with the number of files.
//!
//! The panel is no room of the program: it is made in `packaging/panel`, and knows [`admin`]'s
//! requests and answers by types that a test makes of them.
//!
//! # Adding a service
//!
//! One module in `services/` with a [`remote::Descriptor`] and a [`remote::Remote`], and one line in
//! [`services::ALL`]. One that people sign in to says so in its descriptor and calls by
//! [`remote::Api`]. The contract suite in `tests/common/contract.rs` tells whether it is right.
//!
#![doc = include_str!("promises.md")]
#![warn(missing_docs)]

pub(crate) mod accounts;
pub mod admin;
pub mod blocks;
pub(crate) mod browser;
pub mod caller;
pub mod cgi;
pub(crate) mod child;
pub mod cli;
pub mod clock;
pub mod content;
pub mod crypt;
pub mod csenc;
pub mod daemon;
#[cfg(feature = "demo")]
pub mod demo;
pub mod engine;
pub mod error;
pub(crate) mod execute;
pub mod hash;
pub mod http;
pub mod local;
pub mod logs;
pub mod memory;
pub mod model;
pub mod observe;
pub mod plan;
pub mod progress;
pub(crate) mod random;
pub mod remote;
pub mod rules;
pub mod services;
pub mod settings;
pub mod store;
pub(crate) mod threads;
pub(crate) mod user;
