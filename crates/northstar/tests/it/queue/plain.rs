//! What a queue should do, in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use northstar::queue::{EventKind, State, TypeSettings};

#[derive(Debug, Clone, PartialEq)]
pub struct ModelTask {
    pub task_type: usize,
    pub state: State,
    pub priority: i8,
    pub run_at_us: u64,
    pub changed_us: u64,
    pub attempts: u32,
    pub attempts_max: u32,
    pub token: Option<u64>,
    pub expires_us: Option<u64>,
    pub blockers: BTreeSet<u64>,
    pub dedupe: Option<u8>,
    pub payload: Vec<u8>,
    pub result: Option<Vec<u8>>,
    pub last_error: Option<String>,
    pub events: Vec<(EventKind, State)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    pub tasks: BTreeMap<u64, ModelTask>,
    pub settings: BTreeMap<usize, TypeSettings>,
    pub paused: BTreeSet<usize>,
    pub next_id: u64,
}

impl Model {
    pub fn settings(&self, task_type: usize) -> TypeSettings {
        self.settings.get(&task_type).copied().unwrap_or_default()
    }

    pub fn change(&mut self, id: u64, now_us: u64, kind: EventKind, change: impl FnOnce(&mut ModelTask)) {
        let task = self.tasks.get_mut(&id).unwrap();
        let before = task.state;
        change(task);
        if task.state != before {
            task.changed_us = now_us;
        }
        let state = task.state;
        task.events.push((kind, state));
    }

    pub fn end_attempt(&mut self, id: u64, now_us: u64, kind: EventKind, reason: &str, run_at_us: u64, is_final: bool) {
        self.change(id, now_us, kind, |task| {
            let is_dead = is_final || task.attempts >= task.attempts_max;
            task.state = if is_dead { State::Dead } else { State::Ready };
            task.run_at_us = run_at_us;
            task.expires_us = None;
            task.last_error = Some(reason.to_owned());
        });
    }

    pub fn claim(&mut self, types: &[usize], count: usize, lease_us: Option<u64>, now_us: u64, token: u64) -> Vec<u64> {
        let types: Vec<_> = types.iter().filter(|task_type| !self.paused.contains(task_type)).collect();
        let expired: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| types.contains(&&task.task_type) && task.expires_us.is_some_and(|at| at <= now_us))
            .map(|(id, task)| (*id, task.run_at_us))
            .collect();
        for (id, run_at_us) in expired {
            self.end_attempt(id, now_us, EventKind::Expired, "the lease expired", run_at_us, false);
        }
        let mut due: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| types.contains(&&task.task_type))
            .filter(|(_, task)| task.state == State::Ready && task.run_at_us <= now_us)
            .map(|(id, task)| (-i16::from(task.priority), task.run_at_us, *id))
            .collect();
        due.sort_unstable();
        due.truncate(count);
        for (_, _, id) in &due {
            let lease_us = lease_us.unwrap_or(self.settings(self.tasks[id].task_type).lease_us);
            self.change(*id, now_us, EventKind::Claimed, |task| {
                task.state = State::Leased;
                task.attempts += 1;
                task.token = Some(token);
                task.expires_us = Some(now_us + lease_us);
            });
        }
        due.into_iter().map(|(_, _, id)| id).collect()
    }

    pub fn holds(&self, id: u64, token: u64) -> bool {
        self.tasks.get(&id).is_some_and(|task| task.state == State::Leased && task.token == Some(token))
    }

    pub fn settle(&mut self, id: u64, now_us: u64, remove: impl Fn(u64) -> bool) {
        let task = self.tasks.get_mut(&id).unwrap();
        task.blockers.retain(|blocker| !remove(*blocker));
        if task.blockers.is_empty() && task.state == State::Blocked {
            self.change(id, now_us, EventKind::Unblocked, |task| task.state = State::Ready);
        }
    }

    /// Whether `from` waits for `to`, directly or not.
    pub fn reaches(&self, from: u64, to: u64) -> bool {
        from == to || self.tasks[&from].blockers.iter().any(|blocker| self.reaches(*blocker, to))
    }
}
