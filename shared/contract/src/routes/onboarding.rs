//! Applications.

use shared::api::ApplicationBody;
use shared::api::requests::{DecideApplication, NoFields};

use crate::examples;
use crate::operation::Operation;

const TAG: &str = "onboarding";

pub fn get_application() -> Operation {
    Operation::new(TAG, "An application, for its applicant and the operators").answers::<ApplicationBody>(
        200,
        "The application.",
        examples::application(),
    )
}

pub fn list_applications() -> Operation {
    Operation::new(TAG, "Applications in one status, oldest first")
        .query_of::<domain::onboarding::Status>("status", "Those to be decided (`SUBMITTED`) when absent.")
        .paged()
        .page::<ApplicationBody>("A page of applications.", examples::application())
}

pub fn decide_application() -> Operation {
    Operation::new(TAG, "Decide about an application")
        .about(
            "Approval creates the tenant and, if there is none, the subscription, and takes the first payment: `nextAction` \
             says what came of it.",
        )
        .keyed()
        .takes::<DecideApplication>(serde_json::json!({ "status": "APPROVED" }))
        .answers::<ApplicationBody>(200, "Decided.", examples::decided())
        .answers::<ApplicationBody>(202, "Approved; the first payment is under way.", examples::decided())
        .refuses(409, &["already_decided", "conflict", "payment_method_missing", "plan_not_on_sale", "subscription_ended"])
}

pub fn withdraw_application() -> Operation {
    Operation::new(TAG, "Take an application back while nobody has decided")
        .about("Its card is deleted here and at the gateway. Doing it again answers the same.")
        .keyed()
        .may_take::<NoFields>(serde_json::json!({}))
        .answers::<ApplicationBody>(200, "Withdrawn.", examples::withdrawn())
        .refuses(409, &["already_decided", "conflict"])
}
