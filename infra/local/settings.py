"""Where things are and what they are called. Everything a local stack leaves behind lives under one directory."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from console import Failure

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REGION = "ap-northeast-2"
MAIL_FROM = "billing@mindgarden.example"  # nobody's; mails stay in the emulator
ARTIFACTS = "local-artifacts"  # bucket of the emulator that holds the zips

# Variables of the developer's shell that would send the AWS tools somewhere else than to the emulator.
_FOREIGN = ("AWS_", "SAM_CLI_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True)
class Settings:
    """One local stack. `home` holds its state; tools (virtual environments) are shared by all stacks of a checkout."""

    home: Path
    stage: str
    emulator_port: int
    sandbox_port: int
    enforce_iam: bool = False
    openid_port: int | None = None  # a stack with an OpenID provider beside it

    @property
    def tools(self):
        return CHECKOUT / ".local"

    @property
    def emulator_url(self):
        return f"http://127.0.0.1:{self.emulator_port}"

    @property
    def sandbox_url(self):
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def openid_url(self):
        return f"http://127.0.0.1:{self.openid_port}"

    @property
    def stack_name(self):
        return f"mindgarden-billing-{self.stage}"

    @property
    def state(self):
        """Saved data. One set per emulator port, because the emulator stores its queues under their full address."""
        return self.home / "state" / str(self.emulator_port)

    @property
    def env_file(self):
        return self.home / "stack.env"

    def aws_env(self):
        """What makes any AWS SDK talk to the emulator. Without files: a profile could name another endpoint."""
        return {
            "AWS_ENDPOINT_URL": self.emulator_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def tool_env(self):
        """The developer's environment, turned towards the emulator, for child processes such as SAM."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN) and name.lower() not in _PROXIES
        }
        quiet = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "SAM_CLI_TELEMETRY": "0"}
        return kept | self.aws_env() | quiet

    def parameters(self):
        """Parameters of template.yaml for a laptop: no charge window, time travel, no tick, gateways = sandbox."""
        return {
            "Stage": self.stage,
            "Target": "local",
            "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
            "TossApiBase": self.sandbox_url,
            "StripeApiBase": self.sandbox_url,
            "SandboxUrl": self.sandbox_url,
            "TimeTravel": "allowed",
            "ScheduleState": "DISABLED",
            "ChargeWindow": "off",
            "RefundApprovalAbove": "150000",  # a full refund of the dearest plan needs a second person
            "HoldFactor": "0",  # time travel makes every run a jump
            "TransferAccount": "SandboxBank|000-0000-0000|MindGarden",
            "Supplier": "MindGarden|000-00-00000|Gardener|Seoul",  # a number nobody has
            "TaxIssuer": "sandbox",
            "MailFrom": MAIL_FROM,
            "MailIdentity": MAIL_FROM,
            "QuietHours": "off",  # a test at night would wait for the morning
            "PublicUrl": f"{self.emulator_url}/_aws/execute-api",
            "TossRate": "200",
            "StripeRate": "200",
            "ApiRate": "1000",
            "ApiBurst": "2000",
            # A web server of a developer, and a name that tests ask about.
            "AllowedOrigins": "http://localhost:5173,https://portal.mindgarden.example",
            "RegistrationsPerAddress": "100000",
            "LogInTriesPerAddress": "100000",  # every client of a laptop has one address
            "WebhookRatePerAddress": "100",  # both gateways and every test have one address
            "WebhookRate": "1000",
            "LogRetentionDays": "1",
        } | (self._provider() if self.openid_port else {})

    def _provider(self):
        """infra/local/oidc, whose words for roles are these."""
        return {
            "OidcIssuer": self.openid_url,
            "OidcStaffAudience": "staff-portal",
            "OidcTenantAudience": "tenant-portal",
            "OidcRoleClaim": "groups",
            "OidcTenantClaim": "tenantId",
            "OidcRoles": "billing-admins=OPS_ADMIN,billing-finance=OPS_FINANCE,billing-viewers=OPS_VIEWER",
        }


def _port(name, default):
    text = os.environ.get(name, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Failure(f"{name}={text} is not a port")
    return int(text)


def from_environment():
    """The developer's own stack: .local/, ports from EMULATOR_PORT and SANDBOX_PORT."""
    return Settings(
        home=CHECKOUT / ".local",
        stage="local",
        emulator_port=_port("EMULATOR_PORT", 4566),
        sandbox_port=_port("SANDBOX_PORT", 4570),
    )


def write_private(path, text):
    """Replaces a file in one step, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def read_env_file(path):
    """KEY=value lines; the same file is sourced by shells, so values hold no blanks or quotes."""
    if not path.exists():
        raise Failure("no local stack here: run `make up` first")
    pairs = (line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return dict(pairs)
