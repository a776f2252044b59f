//! Compares a run whose forecast is whole with earlier ones. The caller writes what comes of it together with the last
//! share of the forecast, so that no crash lets a jump through.

use domain::event::Fact;
use domain::run::Run;
use jiff::Timestamp;

use crate::store::{PAGE_MAX, Query, Store, StoreError, typed};

/// The run, held if its forecast jumps by more than `factor` (0 never holds), and the facts to commit with it. History
/// is the newest hundred runs: three months of days. Read only when it can matter.
///
/// # Errors
/// When the store fails.
pub async fn judged(store: &dyn Store, run: Run, factor: u32, now: Timestamp) -> Result<(Run, Vec<Fact>), StoreError> {
    if factor == 0 || !run.is_foreseen() || !run.may_charge() {
        return Ok((run, Vec::new()));
    }
    let (history, _) = typed::list::<Run>(store, &Query::Runs, PAGE_MAX, None).await?;
    Ok(match run.held(&history, factor, now) {
        Some((held, fact)) => (held, vec![fact]),
        None => (run, Vec::new()),
    })
}
