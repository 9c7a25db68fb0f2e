//! Which promise is looked at where. Nothing is done here; the names are those of a violation.
//!
//! # At every step
//! | invariant | what is checked | where |
//! |---|---|---|
//! | D1 kept | each write that returned is a record, an entry, at the server or in a history; after every opening that follows a crash, and after a share of the steps | [`Oracle::check_kept`](crate::oracle::Oracle::check_kept) |
//! | D2 together | records, entries, conflicts and their states agree | [`Oracle::check_together`](crate::oracle::Oracle::check_together) |
//! | D3 recoverable | the file opens after every kill, loss and tear, also where the opening itself is killed; SQLite finds it sound (a share of the openings) | `World::open`, `World::check_device` |
//! | D5 honest failure | a write that failed, or died, is there or is not: the oracle allows both, and nothing else | `Hands::tell` |
//! | a step that fails without a fault of the disk | "never stuck" | `World::step` |
//! | S1 once | no marker is applied twice | `Oracle::read_applied` |
//! | S1 the same answer | an operation that made its record's current version is answered as at first, however late it comes again | `World::push` |
//! | never back | a page that is older than what the answer to a push told takes nothing back | `World::step` |
//! | S2 misuse | no operation id comes with two contents | `World::push` |
//! | S3 in order | the markers of a device arrive in their order in each record; no child before its parent, no end of a session before its children, nothing before a refused write of its record that holds its lane | `Oracle::read_applied`, `World::check_followed` |
//! | S7 edits in flight | the body of what may have been sent does not change | `Oracle::check_entry` |
//! | K1, K2 | each answer of the server is that of the contract's model | [`backend`](crate::backend) |
//! | A1 mine only | no marker of one account in the file, the queue or the requests of another | `Oracle::read_applied`, `check_entry`, `check_record` |
//! | A3 single refresh | the server takes each refresh token that is sent | `keychain.rs` |
//! | L2 retry after | nothing is sent before the time that the server asked to wait for | `World::check_patience` |
//! | offline is free | no attempt is counted without a network, or while nothing reaches the device | `World::step` |
//! | L1 watchdog | a drain that is busy waits for something that will come: a request, which is given up at its deadline | `World::check_awake` |
//! | groups | the fields of a group are of one write, in every record that is visible | `merges.rs` |
//! | never stuck in silence | who asks what became of a write is told | `Hands::ask_what_became` |
//!
//! # Within a bound after the faults stop
//! | invariant | what is checked | where |
//! |---|---|---|
//! | L1 drained | three hours on, nothing is under way; what is unsent waits for the user or for what does, and the status says which | `World::check_rest` |
//! | S4 nobody else waits | the same: a lane that is parked excuses only its own and what follows it | `World::check_rest` |
//! | after a partition | every queue is empty 11 s after the last healing | [`partition`](crate::partition) |
//!
//! # At the end
//! | invariant | what is checked | where |
//! |---|---|---|
//! | drained | users settle what waits for them: within twelve rounds the queues are empty | `World::tidy` |
//! | C3, K2 converging | every device's base and visible body of every record is the server's | `World::check_converged` |
//! | S5, S6 quiet | a further sync is one request that brings nothing | `World::check_quiet` |
//! | D1 kept | as above; what only a journal has is lost | `World::check_histories` |
//! | C1, C2 nothing silently overwritten | what was overwritten by one who had not seen it is in a history | [`Oracle::check_overwritten`](crate::oracle::Oracle::check_overwritten) |
//! | merges | sums, largest numbers, latest instants, units | `merges.rs` |
//! | outcomes | every write that somebody asked about has ended, and how it did is told | `World::check_told` |
//! | all of that again | another oracle judges the story from what was told, and agrees | `witness.rs`, crate `keepsync-oracle` |
//! | L4 determinism | the same seed is the same trace, on any number of threads | `tests/stories.rs` |
//!
//! # Not here
//! D4 (every crash point, not a share of them): crate `keepsync-crash`. C4 and C5 (who wins between a deletion and an
//! edit, clamped clocks): the tables of `docs/conflicts.md`. K2 with concurrent writers: the server's tests. A2: the
//! server's tests. L3 (cancel): `crates/keepsync/tests/cancel.rs`.
