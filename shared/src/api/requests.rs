//! Bodies that requests bring, as the handlers read them.
//!
//! Invariants: unknown fields are refused; a type holds the shape, limits of length and meaning are checked by whoever
//! uses it; nothing here prints itself, because it carries personal data and credentials.

use domain::cancelling::CancelAt;
use domain::charge::GatewayName;
use domain::onboarding::Verdict;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::ports::DeadQueue;

/// Takes no fields; the body may be left out.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

/// A business applies.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SubmitApplication {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub business_name: String,
    /// 사업자등록번호: ten digits with a check digit, hyphens allowed.
    pub business_number: Option<String>,
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub category: Option<String>,
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub region: Option<String>,
    pub contact: SubmitContact,
    pub plan_code: String,
    #[serde(default)]
    pub addon_codes: Vec<String>,
    #[cfg_attr(feature = "openapi", schema(max_length = 2000))]
    pub note: Option<String>,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub checklist: Vec<SubmitCheckItem>,
    pub consents: SubmitConsents,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitContact {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    #[cfg_attr(feature = "openapi", schema(format = Email, max_length = 254))]
    pub email: String,
    /// 8 to 15 digits, hyphens or spaces between.
    pub phone: String,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitCheckItem {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub item: String,
    pub checked: bool,
}

/// All three must be given.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitConsents {
    pub terms: bool,
    pub privacy: bool,
    pub recurring: bool,
}

/// An applicant lost the link. Any text is taken: the answer does not depend on it.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReissueToken {
    /// The contact's, as it was given when the business applied.
    pub email: String,
}

/// Somebody would like to be shown the product.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestDemo {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    #[cfg_attr(feature = "openapi", schema(format = Email, max_length = 254))]
    pub email: String,
    /// 8 to 15 digits, hyphens or spaces between.
    pub phone: Option<String>,
    #[cfg_attr(feature = "openapi", schema(max_length = 2000))]
    pub message: Option<String>,
}

/// An operator decides about an application.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DecideApplication {
    pub status: Verdict,
    /// Required unless it is approved or taken into review.
    #[cfg_attr(feature = "openapi", schema(max_length = 2000))]
    pub note: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetUpPaymentMethod {
    pub gateway: GatewayName,
}

/// What came out of the gateway's card window: for Toss `authKey` and `customerKey`, for Stripe `setupIntentId` or
/// `paymentMethodId`. Never a card number.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RegisterPaymentMethod {
    pub gateway: GatewayName,
    pub auth_key: Option<String>,
    pub customer_key: Option<String>,
    pub setup_intent_id: Option<String>,
    pub payment_method_id: Option<String>,
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub holder_name: Option<String>,
    /// Taken and ignored, like the next three: only the gateway knows them.
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<Value>,
    pub exp_year: Option<Value>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateSubscription {
    pub onboarding_request_id: String,
    pub plan_code: String,
    #[serde(default)]
    pub addon_codes: Vec<String>,
    pub payment_method_id: String,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelSubscription {
    pub at: CancelAt,
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub reason: Option<String>,
}

/// The card it is charged on from now on.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UpdateSubscription {
    pub payment_method_id: String,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefundPayment {
    /// Minor units; all that is left when absent.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub amount: Option<i64>,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub reason: String,
    /// Which billable of the period; 0, the renewal, when absent.
    pub seq: Option<u32>,
}

/// The second person's word about a large refund.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApproveRefund {
    /// False takes the request back; true when absent.
    pub approve: Option<bool>,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub reason: Option<String>,
    pub seq: Option<u32>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StartRun {
    /// Refused unless the stage allows time travel.
    pub as_of: Option<Timestamp>,
}

/// Why an operator does it; kept with the event.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SwitchGateway {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

#[derive(Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SendPaymentGuides {
    /// Subscriptions looked at in one call.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RedriveFailedCharges {
    /// `failed-charges` when absent.
    pub queue: Option<DeadQueue>,
    /// Most letters sent again; as many as one call takes when absent.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub max: Option<u32>,
}

/// An operator's name and password.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    pub username: String,
    #[cfg_attr(feature = "openapi", schema(format = Password))]
    pub password: String,
}

/// An operator's next password, and the one it replaces.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChangePassword {
    #[cfg_attr(feature = "openapi", schema(format = Password))]
    pub current_password: String,
    /// Not the current one, and without the operator's name.
    #[cfg_attr(feature = "openapi", schema(format = Password, min_length = 12, max_length = 128))]
    pub new_password: String,
}
