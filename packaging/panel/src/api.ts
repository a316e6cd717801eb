// Made of the program's own types: cargo test --lib panel_types, with PANEL_TYPES=write to write it.

export type Approval = { 
/**
 * On the disk.
 */
local: Approved, 
/**
 * On the service.
 */
remote: Approved, };

export type Approved = { 
/**
 * To be removed.
 */
removals: number, 
/**
 * To be overwritten.
 */
overwrites: number, };

export type Authorization = { 
/**
 * Name of the connection.
 */
connection: string, 
/**
 * False where the settings are all there is to it.
 */
needed: boolean, } & Partial<SignInPage>;

export type BucketMade = { 
/**
 * Its name.
 */
bucket: string, };

export type BucketView = { 
/**
 * Fewest characters.
 */
min: number, 
/**
 * Most characters.
 */
max: number, 
/**
 * Characters allowed besides lower-case letters and digits.
 */
extra: string, };

export type BucketsView = { 
/**
 * Their names, sorted.
 */
buckets: Array<string>, 
/**
 * Whether there are more than are told.
 */
more: boolean, };

export type ConflictPolicy = "local" | "remote" | "newer" | "both";

export type ConnectionStatus = { name: string, service: string, paused: boolean, 
/**
 * Whether its schedule suspends it in this hour.
 */
suspended: boolean, 
/**
 * When its schedule lets it run again: RFC 3339, UTC; absent while it runs.
 */
runs_again: string | null, };

export type ConnectionView = { 
/**
 * What a person calls it.
 */
name: string, 
/**
 * Name of its service.
 */
service: string, 
/**
 * Whether it was paused of its own.
 */
paused: boolean, 
/**
 * When its tasks run by themselves.
 */
schedule: Schedule, 
/**
 * Whether a person has signed in; absent where the settings are all there is to it.
 */
signed_in?: boolean | null, 
/**
 * What is set, by key. A secret is told as `(sealed)`.
 */
settings: { [key in string]: string }, 
/**
 * Names of the tasks that use it.
 */
tasks: Array<string>, 
/**
 * The NAS user it belongs to; absent where it is nobody's.
 */
owner?: string | null, };

export type Counts = { 
/**
 * Files known on the disk.
 */
local_files: number, 
/**
 * Files known on the service.
 */
remote_files: number, 
/**
 * Items that are to be synced and have nothing wrong with them.
 */
pending: number, 
/**
 * Items that a rule leaves out.
 */
skipped: number, 
/**
 * Items that failed or wait for a person.
 */
problems: number, };

export type Direction = "both" | "upload" | "download";

export type Entered = { 
/**
 * Settings by key, secrets apart.
 */
values: Array<[string, string]>, 
/**
 * Secrets by key.
 */
secrets: Array<[string, string]>, 
/**
 * When its tasks run by themselves; what is left out stays.
 */
schedule: ScheduleChange | null, };

export type Fate = "add" | "replace" | "same" | "refuse";

export type FieldView = { 
/**
 * The word for it in commands.
 */
key: string, 
/**
 * Its name for a person.
 */
label: string, 
/**
 * What to enter.
 */
help: string, 
/**
 * text, secret, url, number, choice or bucket.
 */
kind: string, 
/**
 * The words to choose from; none for other kinds.
 */
choices: Array<string>, 
/**
 * Values that most people take; any other may be.
 */
suggestions?: Array<SuggestionView>, 
/**
 * The smallest and the largest number; absent for other kinds.
 */
range?: [number, number] | null, 
/**
 * Whether it has to be given.
 */
needed: boolean, 
/**
 * What is taken when it is left out.
 */
default: string | null, };

export type Filter = { 
/**
 * Folders, with everything in them: paths from the task's root on, with `/` between the parts.
 */
folders: Array<string>, 
/**
 * What names of files are like: `*` stands for any characters, `?` for any one, `[a-cx]` for
 * one of these, `[!a-cx]` for one that is none of these.
 */
patterns: Array<string>, 
/**
 * Bytes of the largest file; `None` for no limit.
 */
max_size: number | null, };

export type FilterChange = { 
/**
 * Folders to leave out with everything in them: paths from the task's root on. A `/` at either
 * end means nothing.
 */
exclude_folders: Array<string>, 
/**
 * Folders not to leave out any more.
 */
include_folders: Array<string>, 
/**
 * Patterns of the names of files to leave out, as in [`Filter::patterns`].
 */
exclude: Array<string>, 
/**
 * Patterns not to leave files out by any more.
 */
include: Array<string>, 
/**
 * Bytes of the largest file; 0 for no limit, `None` leaves it.
 */
max_size: number | null, };

export type FoldersView = { 
/**
 * The folder they are in, beginning with `/`.
 */
path: string, 
/**
 * Their names, sorted.
 */
folders: Array<string>, 
/**
 * Whether there are more than are told.
 */
more: boolean, };

export type HistoryPage = { 
/**
 * Its lines, the newest first. There may be none before the end.
 */
lines: Array<LogLine>, 
/**
 * Where to go on; null at the end.
 */
next: string | null, 
/**
 * Lines that are kept in all.
 */
kept: number, };

export type HoldLine = { 
/**
 * Why, in a word that doesn't change: mass-removal, mass-overwrite, disk-full, quota-full,
 * sign-in, root-lost, offline or another error's word.
 */
code: string, 
/**
 * local or remote: the side that isn't written to, while the other goes on; null when the
 * whole task waits.
 */
side: Side | null, 
/**
 * What happened and why.
 */
reason: string, 
/**
 * What to do.
 */
remedy: string, 
/**
 * When it began: RFC 3339, UTC.
 */
since: string, 
/**
 * Items that wait because of it; 0 where they aren't counted.
 */
items: number, 
/**
 * Files known on the side, for mass-removal and mass-overwrite; else 0.
 */
known: number, 
/**
 * Paths of some of the items, at most 10.
 */
sample: Array<string>, };

export type ImportLine = { 
/**
 * What it is.
 */
thing: Thing, 
/**
 * Its name; empty for the settings of the program.
 */
name: string, 
/**
 * What becomes of it.
 */
fate: Fate, 
/**
 * What differs, is still to be entered, or stands in the way; empty when there is nothing to
 * say.
 */
detail: string, };

export type Intent = { 
/**
 * upload, download, move, compare, delete-local, delete-remote, make-folder-local,
 * make-folder-remote.
 */
action: string, 
/**
 * The item.
 */
path: string, 
/**
 * Bytes to transfer.
 */
bytes: number, };

export type ItemKind = "file" | "folder";

export type ItemLine = { 
/**
 * The item.
 */
path: string, 
/**
 * file or folder.
 */
kind: ItemKind, 
/**
 * Whether it is on the disk.
 */
local: boolean, 
/**
 * `skipped`: a rule leaves it out; `held`: it waits for a person; `failed`: it is tried again
 * by itself.
 */
state: string, 
/**
 * The rule's or the error's word, which doesn't change.
 */
code: string, 
/**
 * What the rule's word says nothing of: the character, the pattern, or the limit in bytes.
 */
detail: string, 
/**
 * The same for a person.
 */
reason: string, 
/**
 * What to do.
 */
remedy: string, 
/**
 * Since when: RFC 3339, UTC.
 */
since: string, };

export type ItemsPage = { 
/**
 * The items, each once.
 */
items: Array<ItemLine>, 
/**
 * What to give as `after` for the next page; null when this is the last one.
 */
next: string | null, };

export type KeyView = { 
/**
 * The connection.
 */
connection: string, 
/**
 * The key. With it, everything in the encrypted folders can be read.
 */
key: string, 
/**
 * Where the key is the private one of a pair in Cloud Sync's format: a ZIP archive with both, as
 * Cloud Sync exports them, in base64.
 */
zip: string | null, };

export type LastCycle = { 
/**
 * When it did: RFC 3339, UTC.
 */
time: string, report: Report, };

export type Level = "error" | "warn" | "info" | "debug" | "trace";

export type LiveTask = { 
/**
 * How far the running cycle is; absent when none runs.
 */
progress: ProgressView | null, last: LastCycle | null, 
/**
 * Seconds until the service is asked again; absent while it isn't.
 */
next_poll: number | null, 
/**
 * When its connection's schedule lets it run again: RFC 3339, UTC; absent while it runs.
 */
runs_again: string | null, 
/**
 * Whether changes in some folders are found only by looking every few minutes.
 */
watch_limited: boolean, 
/**
 * Its name.
 */
name: string, 
/**
 * Name of its connection.
 */
connection: string, 
/**
 * In a word: stopped (no daemon runs), paused, or what the daemon says.
 */
state: string, 
/**
 * What a person should know first: an error or a hold, and what to do.
 */
message: string | null, 
/**
 * The word of that error or hold, which doesn't change; null where there is none.
 */
code: string | null, } & Partial<Overview>;

export type LogLine = { 
/**
 * When it happened: RFC 3339, UTC.
 */
time: string, 
/**
 * Name of the task.
 */
task: string, 
/**
 * What happened: uploaded, downloaded, moved …
 */
action: string, 
/**
 * The item; empty when it concerns the task.
 */
path: string, 
/**
 * Bytes transferred.
 */
bytes: number, 
/**
 * What else there is to say.
 */
detail: string, };

export type LoginView = { 
/**
 * Whether one is logged in; what is wrong is told as an error.
 */
logged_in: boolean, };

export type NewTask = { 
/**
 * What a person calls it.
 */
name: string, 
/**
 * Name of its connection.
 */
connection: string, 
/**
 * The local folder, absolute.
 */
local: string, 
/**
 * The remote folder; a `/` at either end means nothing.
 */
remote: string, 
/**
 * Which way changes flow.
 */
direction: Direction, 
/**
 * Which content keeps its name when both sides changed a file.
 */
conflict: ConflictPolicy, 
/**
 * Whether what was sent is compared once more, and what is there read again.
 */
consistency_check: boolean, 
/**
 * Nothing is removed at the destination.
 */
keep_removed: boolean, 
/**
 * For how many days files that it removes from the disk are kept, up to 3,650; 0 for none.
 */
recycle_days: number, 
/**
 * What is left out on both sides; it takes nothing back.
 */
filter: FilterChange, 
/**
 * What its service can be told of a task, by key.
 */
settings: Array<[string, string]>, };

export type Overview = { 
/**
 * Both sides were the same when they were last looked at, apart from what is skipped, held or
 * failed and counted as such.
 */
up_to_date: boolean, 
/**
 * How many of what.
 */
counts: Counts, 
/**
 * What holds up the task, or one side of it, as a whole.
 */
holds: Array<HoldLine>, 
/**
 * What it keeps of the files that it removed from the disk.
 */
recycled: RecycledView, };

export type PasswordView = { 
/**
 * Whether there is one.
 */
set: boolean, };

export type Paused = { 
/**
 * Whether everything is.
 */
everything: boolean, 
/**
 * Connections paused of their own.
 */
connections: Array<string>, 
/**
 * Tasks paused of their own.
 */
tasks: Array<string>, };

export type Preview = { 
/**
 * The first intents.
 */
intents: Array<Intent>, 
/**
 * All of them counted, by action.
 */
totals: Array<PreviewTotal>, 
/**
 * What is left out or waits.
 */
report: Report, };

export type PreviewTotal = { 
/**
 * As in an intent.
 */
action: string, 
/**
 * How many items.
 */
items: number, 
/**
 * Bytes to transfer.
 */
bytes: number, };

export type ProgressView = { 
/**
 * observing, planning, transferring, removing; empty when nothing runs.
 */
phase: string, 
/**
 * Files seen while observing.
 */
seen: number, 
/**
 * Files to transfer.
 */
files: number, 
/**
 * Files transferred.
 */
files_done: number, 
/**
 * Bytes to transfer.
 */
bytes: number, 
/**
 * Bytes transferred.
 */
bytes_done: number, 
/**
 * What is being transferred: path, bytes done, bytes in all.
 */
current: Array<[string, number, number]>, };

export type ProviderView = { 
/**
 * The word for it in settings.
 */
name: string, 
/**
 * Its name for a person.
 */
label: string, 
/**
 * Its host, with `{region}` where the region stands, or what an address of one's own there
 * looks like.
 */
address: string, 
/**
 * Whether everybody has an address of their own there.
 */
own_address: boolean, 
/**
 * Its regions, as far as they are known.
 */
regions: Array<string>, };

export type RecycledView = { 
/**
 * How many files.
 */
files: number, 
/**
 * Their bytes.
 */
bytes: number, 
/**
 * Where they are: a folder in the local folder.
 */
folder: string, };

export type Removed = { 
/**
 * Its name.
 */
removed: string, };

export type RemovedFile = { 
/**
 * Its name there.
 */
name: string, 
/**
 * file or folder.
 */
kind: ItemKind, 
/**
 * Bytes of a file.
 */
bytes: number, };

export type RemovedFiles = { 
/**
 * By name; of days, the newest first.
 */
items: Array<RemovedFile>, 
/**
 * What to give as `after` for the next page; null when this is the last one.
 */
next: string | null, };

export type Renamed = { 
/**
 * Its new path in the task.
 */
path: string, };

export type Report = { 
/**
 * Files sent.
 */
uploaded: number, 
/**
 * Files fetched.
 */
downloaded: number, 
/**
 * Files and folders moved.
 */
moved: number, 
/**
 * Files and folders removed from the disk.
 */
deleted_local: number, 
/**
 * Files and folders removed from the service.
 */
deleted_remote: number, 
/**
 * Conflicts whose loser was kept.
 */
conflicts: number, 
/**
 * Items that a rule leaves out.
 */
skipped: number, 
/**
 * Items that wait for a person.
 */
held: number, 
/**
 * Items that failed.
 */
errors: number, 
/**
 * Bytes of request bodies.
 */
bytes_up: number, 
/**
 * Bytes of reply bodies.
 */
bytes_down: number, 
/**
 * Requests sent.
 */
requests: number, 
/**
 * Time it took.
 */
seconds: number, 
/**
 * What failed or waits, as far as it fits.
 */
problems: Array<Trouble>, };

export type Request = { "request": "service_list" } | { "request": "service_show", 
/**
 * Its name.
 */
name: string, } | { "request": "connection_list" } | { "request": "connection_show", 
/**
 * Its name.
 */
name: string, } | { "request": "connection_add", 
/**
 * A new name.
 */
name: string, 
/**
 * Name of its service.
 */
service: string, 
/**
 * Its settings.
 */
entered: Entered, } | { "request": "connection_set", 
/**
 * Its name.
 */
name: string, 
/**
 * The settings to change.
 */
entered: Entered, } | { "request": "connection_test", 
/**
 * Its name.
 */
name: string, } | { "request": "connection_try", 
/**
 * The connection that it changes; none where it is a new one.
 */
name?: string | null, 
/**
 * Name of its service.
 */
service: string, 
/**
 * Its settings; what isn't entered is as it was.
 */
entered: Entered, } | { "request": "buckets", 
/**
 * The connection that it changes; none where it is a new one.
 */
name?: string | null, 
/**
 * Name of its service.
 */
service: string, 
/**
 * Its settings; what isn't entered is as it was, and the bucket may be missing.
 */
entered: Entered, } | { "request": "bucket_make", 
/**
 * The connection that it changes; none where it is a new one.
 */
name?: string | null, 
/**
 * Name of its service.
 */
service: string, 
/**
 * Its settings; what isn't entered is as it was, and the bucket may be missing.
 */
entered: Entered, 
/**
 * Name of the bucket.
 */
bucket: string, } | { "request": "connection_authorize", 
/**
 * Its name.
 */
name: string, 
/**
 * Where the browser is to end; what suits the service when it is left out.
 */
redirect?: string | null, } | { "request": "connection_authorized", 
/**
 * Its name.
 */
name: string, 
/**
 * What the person brought back: the address that the browser ended at, or the code.
 */
answer: string, } | { "request": "connection_key", 
/**
 * Its name.
 */
name: string, } | { "request": "connection_remove", 
/**
 * Its name.
 */
name: string, } | { "request": "task_list" } | { "request": "task_show", 
/**
 * Its name.
 */
name: string, } | { "request": "task_add", 
/**
 * The task.
 */
task: NewTask, 
/**
 * Whether it waits to be resumed, to be previewed first.
 */
paused?: boolean, } | { "request": "task_set", 
/**
 * Its name.
 */
name: string, 
/**
 * What to change.
 */
change: TaskChange, } | { "request": "task_remove", 
/**
 * Its name.
 */
name: string, } | { "request": "local_folders", 
/**
 * The folder; an empty path stands for where to begin.
 */
path: string, } | { "request": "local_folder_make", 
/**
 * The folder, in one that is there.
 */
path: string, } | { "request": "remote_folders", 
/**
 * Name of the connection.
 */
connection: string, 
/**
 * The folder; a `/` at either end means nothing.
 */
path: string, } | { "request": "remote_folder_make", 
/**
 * Name of the connection.
 */
connection: string, 
/**
 * The folder; a `/` at either end means nothing.
 */
path: string, } | { "request": "pause", 
/**
 * What.
 */
scope: Scope, } | { "request": "resume", 
/**
 * What.
 */
scope: Scope, } | { "request": "log", 
/**
 * Of this task only.
 */
task: string | null, 
/**
 * At most so many lines.
 */
limit: number, } | { "request": "history", 
/**
 * Of this task only.
 */
task: string | null, 
/**
 * The `next` of the page before; the newest lines without it.
 */
before?: string | null, 
/**
 * At most so many lines, up to 1,000.
 */
limit: number, 
/**
 * What happened; anything if it is empty.
 */
action: string, 
/**
 * What the item's path or the detail has in it, in upper or lower case.
 */
search: string, } | { "request": "settings" } | { "request": "settings_set", 
/**
 * Its name.
 */
key: string, 
/**
 * Its new value.
 */
value: string, } | { "request": "password_set", 
/**
 * The password; an empty one takes it back.
 */
password: string, } | { "request": "export", 
/**
 * Seals the secrets; without it, they aren't in it.
 */
password?: string | null, } | { "request": "import", 
/**
 * The document.
 */
document: unknown, 
/**
 * What its secrets were sealed with; without it, they are left out.
 */
password?: string | null, 
/**
 * Whether it is done; else it is only told.
 */
apply: boolean, } | { "request": "diagnostics", 
/**
 * Whether names of files, folders and whatever a person named are left in.
 */
names: boolean, } | { "request": "status" } | { "request": "task_status", 
/**
 * Its name.
 */
name: string, 
/**
 * The `next` of the page before; the first page without it.
 */
after?: string | null, 
/**
 * At most so many items, up to 1,000.
 */
limit: number, } | { "request": "item_rename", 
/**
 * The task.
 */
task: string, 
/**
 * The item, by its path in the task.
 */
path: string, 
/**
 * Its new name, which has to be one that can be synced.
 */
name: string, } | { "request": "removed_files", 
/**
 * The task.
 */
task: string, 
/**
 * A day, as `2026-11-23`, perhaps with a folder of the task behind it; the days themselves
 * for an empty path.
 */
path: string, 
/**
 * The `next` of the page before; the first page without it.
 */
after?: string | null, } | { "request": "removed_restore", 
/**
 * The task.
 */
task: string, 
/**
 * The file: its day, and its path in the task.
 */
path: string, } | { "request": "preview", 
/**
 * The task.
 */
task: string, } | { "request": "sync", 
/**
 * The task.
 */
task: string, 
/**
 * Whether mass removals and overwrites that wait for a person's word go ahead.
 */
approve: boolean, 
/**
 * How many of them the person was shown, if it isn't what the status tells now: more than
 * these wait again.
 */
shown?: Approval | null, } | { "request": "verify", 
/**
 * The task.
 */
task: string, 
/**
 * The item after which to go on; from the beginning without it.
 */
after?: string, 
/**
 * Whether no content is read.
 */
quick: boolean, };

export type Restored = { 
/**
 * Its path in the task.
 */
path: string, };

export type Schedule = { 
/**
 * Whether the grid counts.
 */
enabled: boolean, 
/**
 * The hours to run in; kept while it doesn't count.
 */
grid: string[], };

export type ScheduleChange = { 
/**
 * Whether the grid counts.
 */
enabled: boolean | null, 
/**
 * The hours to run in.
 */
grid: string[] | null, };

export type Scope = "everything" | { "connection": string } | { "task": string };

export type ServiceName = { 
/**
 * The word for it in commands.
 */
name: string, 
/**
 * Its name for a person.
 */
label: string, };

export type ServiceView = { 
/**
 * The word for it in commands.
 */
name: string, 
/**
 * Its name for a person.
 */
label: string, 
/**
 * What a connection has to be told.
 */
fields: Array<FieldView>, 
/**
 * Who offers it, where there are several or it is in several regions.
 */
providers: Array<ProviderView>, 
/**
 * Whether a person signs in to it.
 */
sign_in: boolean, 
/**
 * Key of the secret that stands for signing in, where there is one.
 */
sign_in_instead: string | null, 
/**
 * What a task may be told.
 */
task_fields: Array<FieldView>, 
/**
 * `flat`: one listing of everything; `folders`: one of each folder.
 */
listing: string, 
/**
 * Whether a folder is there only because something is in it.
 */
folders_implied: boolean, 
/**
 * `files` or `trees`: what it moves without sending content again.
 */
moves: string, 
/**
 * Whether it keeps times of modification.
 */
keeps_mtime: boolean, 
/**
 * Hash of a file's content that it may know.
 */
hash: string, 
/**
 * Largest file in bytes.
 */
max_size: number | null, 
/**
 * Longest path in bytes of UTF-8, root included.
 */
max_path: number, 
/**
 * Longest name in bytes of UTF-8, where that is a limit of its own.
 */
max_name: number | null, 
/**
 * Characters that mustn't be in a path.
 */
forbidden_characters: string, 
/**
 * Whole names that an item mustn't have.
 */
forbidden_names: Array<string>, 
/**
 * Rule of its bucket names.
 */
bucket: BucketView | null, };

export type SessionView = { 
/**
 * Name of the NAS user; empty where they gave the panel's own password.
 */
user: string, 
/**
 * Whether they may change settings of the program as a whole.
 */
administrator: boolean, 
/**
 * Version of the program.
 */
version: string, };

export type SettingsView = { 
/**
 * Transfers of a task at the same time.
 */
transfers: number, 
/**
 * Lines of each task's history that are kept.
 */
history: number, 
/**
 * Whether administrators of the NAS see and change what belongs to others.
 */
admin_mode: boolean, 
/**
 * The least important lines that the log tells.
 */
log_level: Level, 
/**
 * The folder in which the tasks' states lie; empty when that is the state folder.
 */
state_location: string, };

export type Side = "local" | "remote";

export type SignInPage = { 
/**
 * The address to open in a browser, on any machine.
 */
url: string, 
/**
 * Where the browser ends; null when the service shows a code instead.
 */
redirect: string | null, 
/**
 * `address`: bring back the one that the browser ends at; `code`: bring back the code.
 */
answer: string, 
/**
 * Tells its answer from others.
 */
state: string, };

export type SignedIn = { 
/**
 * Its name.
 */
connection: string, 
/**
 * True; what is wrong is told as an error.
 */
signed_in: boolean, };

export type Status = { daemon: boolean, paused: boolean, connections: Array<ConnectionStatus>, tasks: Array<LiveTask>, };

export type SuggestionView = { 
/**
 * The value.
 */
value: string, 
/**
 * What it stands for, as the service calls it.
 */
label: string, };

export type TaskChange = { 
/**
 * The local folder, absolute.
 */
local: string | null, 
/**
 * The remote folder; a `/` at either end means nothing.
 */
remote: string | null, 
/**
 * Which way changes flow.
 */
direction: Direction | null, 
/**
 * Which content keeps its name when both sides changed a file.
 */
conflict: ConflictPolicy | null, 
/**
 * Whether what was sent is compared once more, and what is there read again.
 */
consistency_check: boolean | null, 
/**
 * Whether nothing is removed at the destination.
 */
keep_removed: boolean | null, 
/**
 * For how many days files that it removes from the disk are kept, up to 3,650; 0 for none.
 */
recycle_days: number | null, 
/**
 * What is left out on both sides, and what isn't any more.
 */
filter: FilterChange, 
/**
 * What its service can be told of a task, by key; an empty value takes a setting back.
 */
settings: Array<[string, string]>, };

export type TaskDetails = { 
/**
 * How many of what.
 */
counts: Counts, 
/**
 * The first items that failed or wait for a person.
 */
problems: Array<ItemLine>, 
/**
 * The first items that a rule leaves out.
 */
skipped: Array<ItemLine>, };

export type TaskItems = { 
/**
 * Its name.
 */
name: string, 
/**
 * Name of its connection.
 */
connection: string, 
/**
 * In a word: stopped (no daemon runs), paused, or what the daemon says.
 */
state: string, 
/**
 * What a person should know first: an error or a hold, and what to do.
 */
message: string | null, 
/**
 * The word of that error or hold, which doesn't change; null where there is none.
 */
code: string | null, 
/**
 * The items, each once.
 */
items: Array<ItemLine>, 
/**
 * What to give as `after` for the next page; null when this is the last one.
 */
next: string | null, } & Partial<Overview>;

export type TaskStatus = { 
/**
 * Its name.
 */
name: string, 
/**
 * Name of its connection.
 */
connection: string, 
/**
 * In a word: stopped (no daemon runs), paused, or what the daemon says.
 */
state: string, 
/**
 * What a person should know first: an error or a hold, and what to do.
 */
message: string | null, 
/**
 * The word of that error or hold, which doesn't change; null where there is none.
 */
code: string | null, } & Partial<Overview>;

export type TaskView = { 
/**
 * What a person calls it.
 */
name: string, 
/**
 * Names its state.
 */
id: number, 
/**
 * Name of its connection.
 */
connection: string, 
/**
 * The local folder.
 */
local: string, 
/**
 * The remote folder, beginning with `/`.
 */
remote: string, 
/**
 * both, upload or download.
 */
direction: Direction, 
/**
 * local, remote, newer or both.
 */
conflict: ConflictPolicy, 
/**
 * Whether contents are compared where size and time of modification would do.
 */
consistency_check: boolean, 
/**
 * Nothing is removed at the destination.
 */
keep_removed: boolean, 
/**
 * For how many days files that it removes from the disk are kept; 0 for none.
 */
recycle_days: number, 
/**
 * What is left out on both sides.
 */
filter: Filter, 
/**
 * What its service is told of it, by key.
 */
settings: { [key in string]: string }, 
/**
 * Whether it was paused of its own.
 */
paused: boolean, 
/**
 * What its state tells; absent in lists and before the first sync.
 */
details?: TaskDetails | null, };

export type Tested = { 
/**
 * Its name.
 */
connection: string, 
/**
 * True; what is wrong is told as an error.
 */
ok: boolean, };

export type Thing = "settings" | "connection" | "task";

export type Trouble = { 
/**
 * The item; empty for the task as a whole.
 */
path: string, 
/**
 * The error's word, or mass-removal or mass-overwrite.
 */
kind: string, 
/**
 * What failed and why.
 */
reason: string, 
/**
 * What to do.
 */
remedy: string, };
