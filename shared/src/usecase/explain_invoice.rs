//! "Explain this invoice": what the rules give for its stored inputs, beside what is stored.

use domain::document::File;
use domain::invoice::{Explanation, explain_file};

use crate::store::{Store, StoreError, typed};

/// Recomputes an invoice and its credit and debit notes; with the plan version it names, its prices too.
///
/// # Errors
/// When the store fails.
pub async fn explain_invoice(store: &dyn Store, file: &File) -> Result<Explanation, StoreError> {
    let plan = match &file.invoice.plan {
        Some(priced) => typed::plan(store, &priced.code, priced.version).await?,
        None => None,
    };
    Ok(explain_file(file, plan.as_ref()))
}
