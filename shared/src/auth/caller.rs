//! The caller of a request, as the token said and the authorizer passed on.

use std::collections::HashMap;

use domain::access::AccountRole;
use domain::event::Actor;
use domain::ids::{RequestId, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::usecase::owner::Owner;

/// What a caller may be. `OPS_*` only ever comes from the operators' audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    OpsAdmin,
    OpsFinance,
    OpsViewer,
    /// An operator who logged in with a temporary password: may set their own, or leave.
    OpsPending,
    Tenant,
    Applicant,
}

impl From<AccountRole> for Role {
    fn from(role: AccountRole) -> Role {
        match role {
            AccountRole::OpsAdmin => Role::OpsAdmin,
            AccountRole::OpsFinance => Role::OpsFinance,
            AccountRole::OpsViewer => Role::OpsViewer,
        }
    }
}

impl Role {
    pub const ALL: [Role; 6] =
        [Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer, Role::OpsPending, Role::Tenant, Role::Applicant];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::OpsAdmin => "OPS_ADMIN",
            Role::OpsFinance => "OPS_FINANCE",
            Role::OpsViewer => "OPS_VIEWER",
            Role::OpsPending => "OPS_PENDING",
            Role::Tenant => "TENANT",
            Role::Applicant => "APPLICANT",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether a person who works here acts.
    #[must_use]
    pub fn is_operator(self) -> bool {
        self.sees_everything() || self == Role::OpsPending
    }

    #[must_use]
    fn sees_everything(self) -> bool {
        matches!(self, Role::OpsAdmin | Role::OpsFinance | Role::OpsViewer)
    }
}

/// An authenticated caller. Operators have neither tenant nor application, tenants have a tenant, applicants both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub actor: Actor,
    pub role: Role,
    pub tenant: Option<TenantId>,
    pub application: Option<RequestId>,
}

impl Caller {
    #[must_use]
    pub fn operator(username: &str, role: Role) -> Caller {
        Caller { actor: Actor::Operator(username.to_owned()), role, tenant: None, application: None }
    }

    #[must_use]
    pub fn tenant(id: &TenantId) -> Caller {
        let actor = Actor::Tenant(id.as_str().to_owned());
        Caller { actor, role: Role::Tenant, tenant: Some(id.clone()), application: None }
    }

    /// An applicant acts for the tenant the application will become.
    #[must_use]
    pub fn applicant(id: &RequestId) -> Caller {
        let actor = Actor::Applicant(id.as_str().to_owned());
        Caller { actor, role: Role::Applicant, tenant: Some(id.tenant()), application: Some(id.clone()) }
    }

    /// Whether this caller may know that `tenant` exists: operators see all, everybody else only themselves.
    #[must_use]
    pub fn sees_tenant(&self, tenant: &TenantId) -> bool {
        self.role.sees_everything() || self.tenant.as_ref() == Some(tenant)
    }

    /// The same for an application. A tenant came from one and still sees it.
    #[must_use]
    pub fn sees_application(&self, application: &RequestId) -> bool {
        self.sees_tenant(&application.tenant())
    }

    /// Scope of this caller's idempotency keys.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.actor_kind(), self.actor_id())
    }

    /// The authorizer's context: flat strings, which is all API Gateway passes on.
    #[must_use]
    pub fn to_context(&self) -> Map<String, Value> {
        let mut context = Map::new();
        let mut put = |name: &str, value: &str| context.insert(name.to_owned(), value.into());
        put("actorKind", self.actor_kind());
        put("actor", self.actor_id());
        put("role", self.role.as_str());
        if let Some(tenant) = &self.tenant {
            put("tenantId", tenant.as_str());
        }
        if let Some(application) = &self.application {
            put("applicationId", application.as_str());
        }
        context
    }

    /// Reads [`Caller::to_context`] back. `None` when it is not there or does not hang together.
    #[must_use]
    pub fn from_context(context: &HashMap<String, Value>) -> Option<Caller> {
        let text = |name: &str| context.get(name).and_then(Value::as_str);
        let role = Role::parse(text("role")?)?;
        let actor = text("actor")?;
        let caller = match (text("actorKind")?, role) {
            ("OPERATOR", role) if role.is_operator() => Caller::operator(actor, role),
            ("TENANT", Role::Tenant) => Caller::tenant(&TenantId::parse(actor).ok()?),
            ("APPLICANT", Role::Applicant) => Caller::applicant(&RequestId::parse(actor).ok()?),
            _ => return None,
        };
        let agrees = |name: &str, own: Option<&str>| text(name).filter(|t| !t.is_empty()) == own;
        (agrees("tenantId", caller.tenant.as_ref().map(TenantId::as_str))
            && agrees("applicationId", caller.application.as_ref().map(RequestId::as_str)))
        .then_some(caller)
    }

    /// Whom a payer acts for; none for operators.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        match (&self.application, &self.tenant) {
            (Some(application), _) => Some(Owner::Applicant(application.clone())),
            (None, Some(tenant)) => Some(Owner::Tenant(tenant.clone())),
            (None, None) => None,
        }
    }

    fn actor_kind(&self) -> &'static str {
        match self.role {
            Role::OpsAdmin | Role::OpsFinance | Role::OpsViewer | Role::OpsPending => "OPERATOR",
            Role::Tenant => "TENANT",
            Role::Applicant => "APPLICANT",
        }
    }

    /// The id of the person or business that acts.
    #[must_use]
    pub fn actor_id(&self) -> &str {
        match &self.actor {
            Actor::Operator(id) | Actor::Tenant(id) | Actor::Applicant(id) | Actor::Gateway(id) | Actor::System(id) => {
                id
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_id() -> RequestId {
        RequestId::parse("req_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
    }

    #[test]
    fn contexts_round_trip() {
        let id = request_id();
        for caller in [Caller::operator("ops", Role::OpsFinance), Caller::tenant(&id.tenant()), Caller::applicant(&id)]
        {
            let context: HashMap<String, Value> = caller.to_context().into_iter().collect();
            assert!(context.values().all(Value::is_string));
            assert_eq!(Caller::from_context(&context), Some(caller));
        }
    }

    #[test]
    fn contexts_that_do_not_hang_together_are_nobody() {
        let id = request_id();
        let mut base: HashMap<String, Value> = Caller::tenant(&id.tenant()).to_context().into_iter().collect();
        assert_eq!(Caller::from_context(&HashMap::new()), None);
        for (name, value) in [("role", "OPS_ADMIN"), ("actorKind", "OPERATOR"), ("tenantId", "ten_x"), ("actor", "ops")]
        {
            let mut bent = base.clone();
            bent.insert(name.to_owned(), value.into());
            assert_eq!(Caller::from_context(&bent), None, "{name}");
        }
        base.insert("applicationId".to_owned(), id.as_str().into());
        assert_eq!(Caller::from_context(&base), None);
    }

    #[test]
    fn everybody_but_operators_sees_only_themselves() {
        let (own, other) = (request_id(), RequestId::parse("req_01BX5ZZKBKACTAV9WEVGEMMVRZ").unwrap());
        let tenant = Caller::tenant(&own.tenant());
        assert!(tenant.sees_tenant(&own.tenant()) && tenant.sees_application(&own));
        assert!(!tenant.sees_tenant(&other.tenant()) && !tenant.sees_application(&other));
        let applicant = Caller::applicant(&own);
        assert!(applicant.sees_application(&own) && !applicant.sees_application(&other));
        assert!(Caller::operator("ops", Role::OpsViewer).sees_application(&other));
        assert!(!Caller::operator("ops", Role::OpsPending).sees_application(&other));
    }
}
