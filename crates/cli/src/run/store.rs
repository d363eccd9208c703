//! Rollouts in one file, for a controller that runs without a table. Every change is a transaction that is on disk before
//! it is acted on; a second process cannot open the file.

use std::path::Path;

use coalmine_core::analysis::MinuteSample;
use coalmine_core::deployment::Hook;
use coalmine_core::ports::{CreateError, EndedPage, Fault, FaultKind, RolloutStore, SaveError, Unreadable};
use coalmine_core::rollout::{DecisionRecord, Rollout};
use coalmine_core::spec::Target;
use coalmine_core::units::Timestamp;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

/// What the file says of itself.
const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("about");

/// The only shape so far.
const SHAPE: u64 = 1;

/// By name, as JSON.
const ROLLOUTS: TableDefinition<&str, &[u8]> = TableDefinition::new("rollouts");

/// Which rollout holds what.
const CLAIMS: TableDefinition<&str, &str> = TableDefinition::new("claims");

/// By rollout and a block's first minute, as JSON.
const SEALED: TableDefinition<(&str, i64), &[u8]> = TableDefinition::new("sealed");

/// By rollout and revision, as JSON.
const RECORDS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("records");

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another `coalmine run` has it open; wait for that one, or name another file with --state")]
    InUse,
    #[error("it was written by a newer coalmine (shape {0}); update this one")]
    Newer(u64),
    #[error(transparent)]
    Broken(#[from] redb::Error),
}

#[derive(Debug)]
pub struct FileStore {
    database: Database,
}

impl FileStore {
    /// Opens the file, or makes a new one.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::create(path).map_err(|error| {
            let in_use = matches!(error, DatabaseError::DatabaseAlreadyOpen);
            if in_use { OpenError::InUse } else { OpenError::Broken(error.into()) }
        })?;
        let shape = make_tables(&database).map_err(OpenError::Broken)?;
        if shape == SHAPE { Ok(Self { database }) } else { Err(OpenError::Newer(shape)) }
    }

    fn read<T>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, Fault> {
        let read = || read(&self.database.begin_read()?);
        read().map_err(|error| fault("read", &error))
    }

    /// All of it happens, or nothing of it.
    fn write<T, E: From<Fault>>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Changing<E>>,
    ) -> Result<T, E> {
        let failed = |error: redb::Error| E::from(fault("write", &error));
        let transaction = self.database.begin_write().map_err(|error| failed(error.into()))?;
        match change(&transaction) {
            Ok(done) => transaction.commit().map(|()| done).map_err(|error| failed(error.into())),
            // What is not committed is dropped with the transaction.
            Err(Changing::Refused(refused)) => Err(refused),
            Err(Changing::Failed(error)) => Err(failed(error)),
        }
    }

    /// Forgets the rollouts that ended before a time, with all that was kept of them, and tells how many. What has anything
    /// left to do stays, and what cannot be read.
    pub fn forget(&self, before: Timestamp) -> Result<usize, Fault> {
        let over = |rollout: &Rollout| !rollout.is_active() && rollout.ended_at().is_some_and(|at| at < before);
        let ended: Vec<Rollout> = self.all()?.into_iter().flatten().filter(over).collect();
        if ended.is_empty() {
            return Ok(0);
        }
        self.write::<_, Fault>(|transaction| {
            let mut rollouts = transaction.open_table(ROLLOUTS)?;
            let (mut sealed, mut records) = (transaction.open_table(SEALED)?, transaction.open_table(RECORDS)?);
            for Rollout { id, .. } in &ended {
                let id = id.as_str();
                rollouts.remove(id)?;
                sealed.retain_in((id, i64::MIN)..=(id, i64::MAX), |_, _| false)?;
                records.retain_in((id, u64::MIN)..=(id, u64::MAX), |_, _| false)?;
            }
            Ok(())
        })?;
        Ok(ended.len())
    }

    fn all(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let stored = self.read(|transaction| {
            let table = transaction.open_table(ROLLOUTS)?;
            let mut stored = Vec::new();
            for item in table.iter()? {
                let (id, json) = item?;
                stored.push((id.value().to_owned(), json.value().to_vec()));
            }
            Ok(stored)
        })?;
        let parsed = |(id, json): (String, Vec<u8>)| parse(&json).map_err(|fault| Unreadable { id, fault });
        Ok(stored.into_iter().map(parsed).collect())
    }
}

/// Why a change is not made.
enum Changing<E> {
    Refused(E),
    Failed(redb::Error),
}

impl<E, T: Into<redb::Error>> From<T> for Changing<E> {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

fn make_tables(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let shape = {
        let mut about = transaction.open_table(ABOUT)?;
        let stored = about.get("shape")?.map(|shape| shape.value());
        if stored.is_none() {
            about.insert("shape", SHAPE)?;
        }
        stored.unwrap_or(SHAPE)
    };
    if shape == SHAPE {
        transaction.open_table(ROLLOUTS)?;
        transaction.open_table(CLAIMS)?;
        transaction.open_table(SEALED)?;
        transaction.open_table(RECORDS)?;
    }
    transaction.commit()?;
    Ok(shape)
}

fn fault(operation: &'static str, error: &impl std::fmt::Display) -> Fault {
    Fault::new(operation, FaultKind::Failed, format!("the state file: {error}"))
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(json).map_err(|error| fault("read", &error))
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|error| fault("write", &error))
}

/// Who else holds what the rollout wants to hold.
fn taken(transaction: &WriteTransaction, rollout: &Rollout) -> Result<Option<String>, redb::Error> {
    if !rollout.holds_target() {
        return Ok(None);
    }
    let claims = transaction.open_table(CLAIMS)?;
    for claim in rollout.spec.target.claims() {
        if let Some(by) = claims.get(claim.as_str())?.filter(|by| by.value() != rollout.id) {
            return Ok(Some(by.value().to_owned()));
        }
    }
    Ok(None)
}

/// The rollout and what it holds, as they are now.
fn keep(transaction: &WriteTransaction, rollout: &Rollout, json: &[u8]) -> Result<(), redb::Error> {
    transaction.open_table(ROLLOUTS)?.insert(rollout.id.as_str(), json)?;
    let mut claims = transaction.open_table(CLAIMS)?;
    claims.retain(|_, by| by != rollout.id)?;
    if rollout.holds_target() {
        for claim in rollout.spec.target.claims() {
            claims.insert(claim.as_str(), rollout.id.as_str())?;
        }
    }
    Ok(())
}

impl RolloutStore for FileStore {
    async fn active(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let mut active = self.all()?;
        active.retain(|stored| stored.as_ref().map_or(true, Rollout::is_active));
        Ok(active)
    }

    async fn load(&self, id: &str) -> Result<Option<Rollout>, Fault> {
        let stored = self.read(|transaction| {
            let table = transaction.open_table(ROLLOUTS)?;
            Ok(table.get(id)?.map(|json| json.value().to_vec()))
        })?;
        stored.map(|json| parse(&json)).transpose()
    }

    async fn holder(&self, target: &Target) -> Result<Option<String>, Fault> {
        self.read(|transaction| {
            let claims = transaction.open_table(CLAIMS)?;
            for claim in target.claims() {
                if let Some(by) = claims.get(claim.as_str())? {
                    return Ok(Some(by.value().to_owned()));
                }
            }
            Ok(None)
        })
    }

    async fn named_by_alarm(&self, alarm: &str) -> Result<Vec<String>, Fault> {
        let names = |rollout: &Rollout| rollout.spec.alarms.names.iter().any(|name| name == alarm);
        let active = self.active().await?;
        Ok(active.into_iter().flatten().filter(names).map(|rollout| rollout.id).collect())
    }

    async fn create(&self, rollout: &Rollout) -> Result<(), CreateError> {
        let json = json(rollout)?;
        self.write(|transaction| {
            if transaction.open_table(ROLLOUTS)?.get(rollout.id.as_str())?.is_some() {
                return Err(Changing::Refused(CreateError::Exists));
            }
            if let Some(by) = taken(transaction, rollout)? {
                return Err(Changing::Refused(CreateError::TargetTaken { by }));
            }
            Ok(keep(transaction, rollout, &json)?)
        })
    }

    async fn save(&self, before: &Rollout, next: &Rollout, record: Option<&DecisionRecord>) -> Result<(), SaveError> {
        if before.id != next.id || next.revision != before.revision + 1 {
            let detail = format!("{} at revision {} cannot follow {}", next.id, next.revision, before.revision);
            return Err(Fault::new("write", FaultKind::Rejected, detail).into());
        }
        let (stored, record) = (json(next)?, record.map(json).transpose()?);
        self.write(|transaction| {
            let revision = match transaction.open_table(ROLLOUTS)?.get(before.id.as_str())? {
                Some(json) => {
                    Some(parse::<Rollout>(json.value()).map_err(|fault| Changing::Refused(fault.into()))?.revision)
                }
                None => None,
            };
            if revision != Some(before.revision) {
                return Err(Changing::Refused(SaveError::Conflict));
            }
            if let Some(by) = taken(transaction, next)? {
                return Err(Changing::Refused(SaveError::TargetTaken { by }));
            }
            if let Some(record) = &record {
                transaction.open_table(RECORDS)?.insert((next.id.as_str(), next.revision), record.as_slice())?;
            }
            Ok(keep(transaction, next, &stored)?)
        })
    }

    async fn seal(&self, id: &str, minutes: &[MinuteSample]) -> Result<(), Fault> {
        let Some(first) = minutes.first() else { return Ok(()) };
        let (key, json) = ((id, first.minute.index()), json(&minutes)?);
        self.write(|transaction| {
            let mut sealed = transaction.open_table(SEALED)?;
            if sealed.get(key)?.is_none() {
                sealed.insert(key, json.as_slice())?;
            }
            Ok(())
        })
    }

    async fn sealed(&self, id: &str) -> Result<Vec<MinuteSample>, Fault> {
        let blocks = self.read(|transaction| {
            let table = transaction.open_table(SEALED)?;
            let mut blocks = Vec::new();
            for block in table.range((id, i64::MIN)..=(id, i64::MAX))? {
                blocks.push(block?.1.value().to_vec());
            }
            Ok(blocks)
        })?;
        let mut minutes: Vec<MinuteSample> = Vec::new();
        for block in blocks {
            // Where blocks overlap, the one that begins earlier counts.
            let last = minutes.last().map(|sample| sample.minute);
            let block: Vec<MinuteSample> = parse(&block)?;
            minutes.extend(block.into_iter().filter(|sample| Some(sample.minute) > last));
        }
        Ok(minutes)
    }

    async fn judged(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let mut judged = self.all()?;
        judged.retain(|stored| stored.as_ref().map_or(true, |rollout| rollout.guest.is_some()));
        judged.sort_by_key(|stored| stored.as_ref().ok().map(|rollout| rollout.started_at));
        Ok(judged)
    }

    async fn ended(&self, since: Timestamp, from: Option<&str>) -> Result<EndedPage, Fault> {
        Ok(EndedPage::of(self.all()?, since, from))
    }

    /// Nobody calls a process that runs in a pipeline.
    async fn keep_hook(&self, hook: &Hook) -> Result<(), Fault> {
        let detail = format!("{}: hooks are for the deployed functions", hook.execution);
        Err(Fault::new("keep_hook", FaultKind::Rejected, detail))
    }

    async fn hooks(&self) -> Result<Vec<Hook>, Fault> {
        Ok(Vec::new())
    }

    async fn drop_hook(&self, _: &Hook) -> Result<(), Fault> {
        Ok(())
    }
}
