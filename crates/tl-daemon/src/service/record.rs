//! What records the working directory's state: flush, and the bounds of commands.

use tl_journal::Reason;

use super::convert::{failure, to_provenance};
use super::{Answered, Peer, Service};
use crate::wire::{Answer, Failure, FailureKind, Flush, Provenance};

impl Service {
    /// A durable checkpoint that holds everything written before the call.
    pub(super) fn flush(&self, flush: Flush) -> Answered {
        let Flush { scan, provenance } = flush;
        let asked_for = provenance.message.is_some();
        let reason = if asked_for { Reason::Manual } else { Reason::FsBatch };
        self.record(reason, provenance, asked_for, scan)
    }

    fn record(&self, reason: Reason, provenance: Provenance, always: bool, rehash: bool) -> Answered {
        let present = self.runs()?.present();
        // What is not said of a flush is that of the command that runs.
        let provenance = to_provenance(match present {
            None => provenance,
            Some(run) => Provenance {
                session: provenance.session.or(run.session),
                actor: provenance.actor.or(run.actor),
                label: provenance.label.or(run.label),
                message: provenance.message,
            },
        });
        let (head, changed) = self.turn(move |turn| {
            if rehash {
                turn.look_at_everything();
            }
            let outcome = turn.update(reason, provenance, |request| {
                request.rehash = rehash;
                request.always = always;
            });
            let outcome = outcome.map_err(|error| failure(&error))?;
            let changed = outcome.checkpoint.is_some();
            let head = outcome.checkpoint.or_else(|| turn.repository.journal().head());
            let nothing = || Failure::new(FailureKind::Internal, "there is no checkpoint after a capture");
            Ok((head.ok_or_else(nothing)?, changed))
        })?;
        Ok(Answer::Flushed { checkpoint: self.labelled(&head)?, changed })
    }

    pub(super) fn begin_run(&self, peer: &mut Peer, provenance: Provenance) -> Answered {
        let runs = self.runs()?.clone();
        let answer = self.record(Reason::FsBatch, Provenance::default(), false, false)?;
        peer.runs.push(runs.begin(provenance));
        Ok(answer)
    }

    pub(super) fn end_run(&self, peer: &mut Peer, exit_code: Option<i32>) -> Answered {
        let Some(run) = peer.runs.pop() else {
            return Err(Failure::new(FailureKind::Invalid, "no command was begun on this connection").into());
        };
        // A run that says nothing of itself leaves its changes to nobody.
        let mut provenance = run.provenance().unwrap_or_default();
        if let (Some(code), Some(message)) = (exit_code.filter(|&code| code != 0), &mut provenance.message) {
            message.push_str(&format!(" (exit code {code})"));
        }
        let answer = self.record(Reason::FsBatch, provenance, false, false);
        drop(run);
        answer
    }
}
