//! A model of Keepsync's protocol, small enough that all that can happen to it is looked at.
//!
//! Two devices, a server, two records (a parent and its child) and three writes of the user in all. Messages
//! are lost, come twice, come late and in any order; devices die; the server is restored from a backup of any
//! moment. The checker goes through every state that can be reached, and asks in each what must hold there.
//!
//! # What is what
//! | model | code |
//! |---|---|
//! | `device::{write, append}` | `record::write_local`, `queue::append`, `queue::fold` |
//! | `device::{claim, take, predecessors}` | `queue::claim`, `drain::schedule` (a batch with all it must follow) |
//! | `device::{settle, accept, blocked}` | `queue::settle`, `queue::flight` (its short way comes to the same) |
//! | `device::freshen`, the turns of an id | `Head::freshen`, a new UUID |
//! | `conflict::{meet, plan, rebase, resolve}` | `conflict::{apply, plan, resolve}` |
//! | `pull::{apply, begin, reach_head, show_unsent}` | `pull`, `pull::epoch`, `record::row` |
//! | `server::{push, take}` | `keepsync-server`'s `storage::sqlite::push` and `decide` |
//! | `server::page` | its `pull`: upwards from the cursor, then the backfill |
//! | `world::commit` | one transaction: with FULL, or, for pages and answers, NORMAL |
//!
//! A body is the number of the write that made it, so a body that stands twice, or nowhere, is seen. An
//! operation id is that number and how often it was given anew. The place in the queue is the number too: it is
//! what an autoincrement gives, and what the journal keeps.
//!
//! # What must hold
//! See `holds`: S1 to S3, C2, D1, K1 to K3 of `reliability.md`, and L1: from every state, when faults stop, the
//! world comes to rest within a bounded number of passes (`rest` says why stateright's own `eventually` is not
//! used).
//!
//! # What is left out, and why nothing is lost by it
//! * *Where an order means nothing, there is one.* What a device does by itself (a write, a decision, a claim)
//!   depends on nothing elsewhere, and nothing elsewhere depends on it before it is sent. So it comes right
//!   before the first step that looks at it (`State::must`). For the same reason a page is asked for, answered
//!   and applied in one step, and so is an answer to a batch: whatever the user did meanwhile may as well have
//!   come before. A page that is lost was not asked for.
//! * *A batch stays where it is when it arrives*, to arrive again. It is lost when its room is needed: one that
//!   never arrives and one that is lost are the same.
//! * *A crash is no step of its own.* Each transaction is one step, so what a dead process loses is what it was
//!   waiting for, and a device may stop waiting at any time (its next pull or push does). A loss of power also
//!   takes back what was committed with NORMAL, pages and answers; nothing left the device on the strength of
//!   those, since a claim is committed with FULL. So it is a kill that came earlier. [`Rules::DEEP`] does not
//!   rely on that: there a loss of power is a step.
//! * *The devices are alike*, so the first write is the first one's.
//! * *What can never matter again is forgotten* (`tidy`): batches of another epoch, ids that nobody has, what a
//!   device knows of a life that is over.
//!
//! # What it found
//! * A device's first request, which names no epoch, could outlive a restore and apply a write a second time.
//!   Cured: `Flaw::EpochlessTaken` is how it was.
//! * With three writes and a restore: a write was made on a version that the restore lost, and is refused; it
//!   goes on under a new id; the lost version comes again from its writer, under its old id and number; now the
//!   refused request arrives once more, late, and is applied. The device, which has forgotten the refused id,
//!   does not know its own write, and may apply it again under the new one. Cured: an entry that goes on with
//!   the same content remembers the id that was refused. `Flaw::ForgetsRefusedIds` is how it was.
//! * A child can reach a restored server before its parent, where another device made the parent: it comes again
//!   from that device, in its own time (`holds::parent_may_be_lost`).
//!
//! # What it does not know
//! Time (retry schedules, backoff: everything is due, in any order), tokens, sizes, refusals of bodies, parked
//! entries, deletions (a tombstone is a version like another; what policies make of deletions is tested by
//! tables), merges of fields (a body has one), clocks (so not `last_write_wins`), and families: the child settles
//! its conflicts by itself (`Collection::settles_itself`). A server that begins with nothing is a restore to
//! length 0 here, and so names its branch. Two clocks, three devices or four writes may show what these do not.

pub mod rules;
pub mod state;
pub mod world;
mod device;
mod conflict;
mod pull;
mod server;
mod tidy;
mod holds;
mod rest;

pub use rules::{Flaw, Policy, Rules};
pub use world::{Action, World};
