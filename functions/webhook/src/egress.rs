//! What is kept of egresses, and what is told of those that failed.

use events::{CallId, CallRecord, EgressEnd, EgressId, EgressRecord, OpenEgress, Timestamp, keys};
use platform::store::{Store, StoreError};

/// Marks an egress that goes on; true when it had no marker. One that has its record is over, however late its first events come.
///
/// # Errors
/// When the store fails.
pub async fn watch_egress(
    store: &dyn Store,
    egress: &EgressId,
    open: &OpenEgress,
) -> Result<bool, StoreError> {
    let record = keys::egress(open.created_at, &open.call, egress);
    Ok(store.get(&record).await?.is_none() && mark(store, egress, open).await?)
}

/// Keeps the record of an egress that has ended, and removes its marker once the record lacks nothing; returns what is kept.
///
/// Where a file is missing, the agent's own recording of the call stands in, as soon as the call is closed: until then the marker stays (and
/// is put if it was not there) for the sweep, which calls this again. Killed anywhere, it is completed by a repeat.
///
/// # Errors
/// When the store fails.
pub async fn close_egress(
    store: &dyn Store,
    created_at: Timestamp,
    mut record: EgressRecord,
) -> Result<EgressRecord, StoreError> {
    let mut waits = false;
    if record.wants_stand_in() {
        match call_record(store, created_at, &record.call).await? {
            Some(call) => record.stand_in = call.recording.map(|recording| recording.key),
            None => waits = true,
        }
    }
    if waits {
        // Before the record: whoever is killed in between leaves it to the sweep.
        mark(store, &record.egress, &marker(&record, created_at)).await?;
    }
    let record = keep(store, created_at, record).await?;
    if !waits {
        store.delete(&keys::open_egress(&record.egress)).await?;
    }
    Ok(record)
}

/// Tells of an egress that somebody has to know of: one line at ERROR, which alarms can count by its text. Names of files may hold numbers
/// and are left out; the record has them.
pub fn tell_of_egress(record: &EgressRecord) {
    if !record.is_alarming() {
        return;
    }
    let (call_id, egress_id, outcome) = (record.call.as_str(), record.egress.as_str(), record.end.as_str());
    let (error_code, missing) = (record.error_code, record.missing_files());
    let stand_in = record.stand_in.is_some();
    let remedy = remedy(record);
    tracing::error!(
        call_id,
        egress_id,
        outcome,
        error_code,
        missing,
        stand_in,
        remedy,
        "an egress has failed"
    );
}

/// By the codes that livekit-egress 1.14 gives.
fn remedy(record: &EgressRecord) -> &'static str {
    match (&record.end, record.error_code) {
        (EgressEnd::Lost, _) => "keep livekit-egress running, and look why it was killed",
        (_, 400) => "check bucket, endpoint and keys of recordings.s3 from the egress machine",
        (_, 403) => "end livekit-egress by SIGTERM, which lets recordings come to their end",
        (_, 404) => "record what is in the room",
        (_, 503) => "check where it streams to",
        _ => "look egress_id up in the log of livekit-egress",
    }
}

async fn mark(store: &dyn Store, egress: &EgressId, open: &OpenEgress) -> Result<bool, StoreError> {
    let put = store
        .put_if_absent(&keys::open_egress(egress), open.encode().into())
        .await?;
    Ok(put.is_some())
}

fn marker(record: &EgressRecord, created_at: Timestamp) -> OpenEgress {
    OpenEgress {
        call: record.call.clone(),
        room: record.room.clone(),
        created_at,
        since: record.ended_at,
        missed_at: None,
        files: record.files.clone(),
    }
}

async fn call_record(
    store: &dyn Store,
    created_at: Timestamp,
    call: &CallId,
) -> Result<Option<CallRecord>, StoreError> {
    let object = store.get(&keys::record(created_at, call)).await?;
    Ok(object.and_then(|object| CallRecord::decode(&object.bytes).ok()))
}

/// Puts the record, unless one is there that says as much; returns the one that is there then.
async fn keep(
    store: &dyn Store,
    created_at: Timestamp,
    record: EgressRecord,
) -> Result<EgressRecord, StoreError> {
    let key = keys::egress(created_at, &record.call, &record.egress);
    if store.put_if_absent(&key, record.encode().into()).await?.is_some() {
        return Ok(record);
    }
    let Some(object) = store.get(&key).await? else {
        return Ok(record);
    };
    match EgressRecord::decode(&object.bytes) {
        Ok(kept) if !record.supersedes(&kept) => Ok(kept),
        // Whoever comes in between says no less.
        _ => {
            store
                .put_if_match(&key, &object.etag, record.encode().into())
                .await?;
            Ok(record)
        }
    }
}
