//! An applicant applies.

use domain::business_number;
use domain::contact::{Contact, is_email, is_phone};
use domain::event::Fact;
use domain::ids::{RequestId, ulid};
use domain::onboarding::{Application, CONSENT_TEXT_VERSION, CheckItem, Consents, Status};
use domain::plan::PlanError;

use super::stamp;
use crate::ports::{Context, Random};
use crate::store::{Record, Store, StoreError, Write, typed};

/// The form, parsed but not yet believed.
pub struct Form {
    pub business_name: String,
    pub business_number: Option<String>,
    pub category: Option<String>,
    pub region: Option<String>,
    pub contact: Contact,
    pub plan_code: String,
    pub addon_codes: Vec<String>,
    pub note: Option<String>,
    pub checklist: Vec<CheckItem>,
    /// Terms, privacy, recurring payment: all three must be given.
    pub consents: [bool; 3],
}

#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Field, stable code, text for the caller.
    #[error("{0} is invalid")]
    Invalid(&'static str, &'static str, &'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Longest free text we keep, in characters.
const NOTE_MAX: usize = 2_000;
const NAME_MAX: usize = 100;
const CHECKLIST_MAX: usize = 50;

/// Checks the form and stores the application. `also` joins the transaction (the idempotency row).
///
/// # Errors
/// When a field is wrong (nothing is written) or the store fails.
pub async fn submit(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    form: Form,
    also: impl FnOnce(&Application) -> Vec<Write>,
) -> Result<Application, SubmitError> {
    let business_number = check(&form)?;
    let plan = typed::latest_plan(store, &form.plan_code).await?.filter(|p| p.on_sale);
    let plan = plan.ok_or(SubmitError::Invalid("planCode", "unknown_plan", "no such plan is on sale"))?;
    plan.snapshot(&form.addon_codes).map_err(addon_error)?;
    let id = RequestId::new(ulid(context.now, random.bits()));
    let application = Application {
        status: Status::Submitted,
        business_name: form.business_name.trim().to_owned(),
        business_number,
        category: form.category,
        region: form.region,
        contact: form.contact,
        plan_code: form.plan_code,
        addon_codes: form.addon_codes,
        note: form.note,
        checklist: form.checklist,
        consents: Consents { version: CONSENT_TEXT_VERSION.to_owned(), at: context.now },
        customer_key: uuid_v4(random.bits()),
        stripe_customer: None,
        method_id: None,
        subscription_id: None,
        decision: None,
        submitted_at: context.now,
        version: 0,
        id,
    };
    let fact = Fact::new("application.submitted", application.id.as_str())
        .with("planCode", application.plan_code.as_str())
        .with("consents", CONSENT_TEXT_VERSION);
    let mut writes = vec![Write::New(Record::Application(application.clone()))];
    writes.extend(also(&application));
    store.commit(&stamp::commit(random, context, writes, vec![fact])).await?;
    Ok(application)
}

/// Everything that needs no store. Returns the business number in its plain spelling.
fn check(form: &Form) -> Result<Option<String>, SubmitError> {
    let named = |s: &str, max: usize| !s.trim().is_empty() && s.chars().count() <= max;
    if !named(&form.business_name, NAME_MAX) {
        return Err(SubmitError::Invalid("businessName", "invalid_length", "1 to 100 characters"));
    }
    if !named(&form.contact.name, NAME_MAX) {
        return Err(SubmitError::Invalid("contact.name", "invalid_length", "1 to 100 characters"));
    }
    if !is_email(&form.contact.email) {
        return Err(SubmitError::Invalid("contact.email", "invalid_email", "not an e-mail address"));
    }
    if !is_phone(&form.contact.phone) {
        return Err(SubmitError::Invalid(
            "contact.phone",
            "invalid_phone",
            "8 to 15 digits, hyphens or spaces between",
        ));
    }
    let short = |s: &Option<String>, max: usize| s.as_ref().is_none_or(|s| s.chars().count() <= max);
    if !short(&form.category, NAME_MAX) {
        return Err(SubmitError::Invalid("category", "invalid_length", "at most 100 characters"));
    }
    if !short(&form.region, NAME_MAX) {
        return Err(SubmitError::Invalid("region", "invalid_length", "at most 100 characters"));
    }
    if !short(&form.note, NOTE_MAX) {
        return Err(SubmitError::Invalid("note", "invalid_length", "at most 2,000 characters"));
    }
    if form.checklist.len() > CHECKLIST_MAX || form.checklist.iter().any(|c| !named(&c.item, NAME_MAX)) {
        return Err(SubmitError::Invalid("checklist", "invalid_length", "at most 50 items of 1 to 100 characters"));
    }
    for (given, field) in form.consents.iter().zip(["consents.terms", "consents.privacy", "consents.recurring"]) {
        if !given {
            return Err(SubmitError::Invalid(field, "consent_required", "must be given"));
        }
    }
    match &form.business_number {
        None => Ok(None),
        Some(text) => match business_number::parse(text) {
            Some(number) => Ok(Some(number)),
            None => Err(SubmitError::Invalid(
                "businessNumber",
                "invalid_business_number",
                "ten digits with a valid check digit",
            )),
        },
    }
}

fn addon_error(error: PlanError) -> SubmitError {
    match error {
        PlanError::UnknownAddon(_) => {
            SubmitError::Invalid("addonCodes", "unknown_addon", "no such add-on for this plan")
        }
        PlanError::DuplicateAddon(_) => {
            SubmitError::Invalid("addonCodes", "duplicate_addon", "an add-on is named twice")
        }
        PlanError::Money(_) => SubmitError::Invalid("planCode", "unpriceable", "this plan cannot be sold"),
    }
}

/// A random UUID (RFC 9562, version 4): the customerKey at Toss must be unguessable.
fn uuid_v4(bits: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    #[test]
    fn customer_keys_are_version_4_uuids() {
        let key = super::uuid_v4(u128::MAX);
        assert_eq!(key, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(super::uuid_v4(0), "00000000-0000-4000-8000-000000000000");
    }
}
