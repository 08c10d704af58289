"""Seeded generator of realistic tool output with secrets of many kinds, and of look-alikes that are none.

Secrets are assembled while the tests run, so that no file of the project holds anything a secret scanner would report.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

LOWER, UPPER, DIGITS, HEX = string.ascii_lowercase, string.ascii_uppercase, string.digits, "0123456789abcdef"
ALNUM = string.ascii_letters + DIGITS
URL_SAFE = ALNUM + "_-"
BASE64 = ALNUM + "+/"


@dataclass(frozen=True)
class Planted:
    """One piece of output. `secret` must not survive; None: nothing in `text` may be hidden."""

    kind: str
    text: str
    secret: str | None


class Maker:
    """Random material of one seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def of(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choice(alphabet) for _ in range(length))

    def password(self) -> str:
        word = self.random.choice(["tiger", "Winter", "s0lar", "Orchid", "m00n", "river"])
        return word + self.random.choice("!%*_+") + self.of(ALNUM, self.random.randint(4, 12)) + self.of(DIGITS, 2)

    def jwt(self) -> str:
        parts = ('{"alg":"HS256","typ":"JWT"}', f'{{"sub":"{self.of(DIGITS, 10)}","iat":1700000000}}')
        encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
        return ".".join([*encoded, self.of(URL_SAFE, 43)])

    def pem(self, label: str, newline: str = "\n") -> str:
        body = newline.join(self.of(BASE64, 64) for _ in range(8))
        return f"-----BEGIN {label}-----{newline}{body}{newline}-----END {label}-----"


def _prefixed(prefix: str, alphabet: str, length: int) -> Callable[[Maker], str]:
    return lambda make: prefix + make.of(alphabet, length)


# Kinds recognised by their own form, wherever they stand.
FORMS: dict[str, Callable[[Maker], str]] = {
    "aws_access_key": _prefixed("AKI" + "A", UPPER + DIGITS, 16),
    "aws_temporary_key": _prefixed("ASI" + "A", UPPER + DIGITS, 16),
    "github_classic": _prefixed("gh" + "p_", ALNUM, 36),
    "github_server": _prefixed("gh" + "s_", ALNUM, 36),
    "github_fine_grained": _prefixed("github_" + "pat_", ALNUM, 82),
    "gitlab": _prefixed("gl" + "pat-", URL_SAFE, 20),
    "slack_bot": lambda make: "xo" + "xb-" + make.of(DIGITS, 12) + "-" + make.of(DIGITS, 12) + "-" + make.of(ALNUM, 24),
    "slack_webhook": lambda make: (
        "https://hooks.slack"
        + ".com/services/T"
        + make.of(UPPER, 8)
        + "/B"
        + make.of(UPPER, 8)
        + "/"
        + make.of(ALNUM, 24)
    ),
    "stripe_live": _prefixed("sk_" + "live_", ALNUM, 24),
    "stripe_webhook": _prefixed("wh" + "sec_", ALNUM, 32),
    "openai_project": _prefixed("sk-" + "proj-", URL_SAFE, 80),
    "openai_legacy": lambda make: "sk-" + make.of(ALNUM, 20) + "T3Blbk" + "FJ" + make.of(ALNUM, 20),
    "anthropic": _prefixed("sk-" + "ant-api03-", URL_SAFE, 90),
    "google_api": _prefixed("AI" + "za", URL_SAFE, 35),
    "google_oauth_secret": _prefixed("GOC" + "SPX-", URL_SAFE, 28),
    "google_access": _prefixed("ya" + "29.", URL_SAFE, 120),
    "azure_client_secret": lambda make: make.of(ALNUM, 3) + "8Q" + "~" + make.of(ALNUM, 34),
    "huggingface": _prefixed("h" + "f_", string.ascii_letters, 34),
    "npm": _prefixed("np" + "m_", ALNUM, 36),
    "pypi": _prefixed("pyp" + "i-AgEIcHlwaS5vcmc", URL_SAFE, 90),
    "sendgrid": lambda make: "S" + "G." + make.of(URL_SAFE, 22) + "." + make.of(URL_SAFE, 43),
    "twilio": _prefixed("S" + "K", HEX, 32),
    "mailchimp": lambda make: make.of(HEX, 32) + "-us" + make.of("123456789", 1),
    "telegram": lambda make: make.of("123456789", 9) + ":A" + "A" + make.of(URL_SAFE, 33),
    "discord_webhook": lambda make: (
        "https://discord.com/api/web" + "hooks/" + make.of("123456789", 18) + "/" + make.of(URL_SAFE, 68)
    ),
    "jwt": Maker.jwt,
    "shopify": _prefixed("shp" + "at_", HEX, 32),
    "digitalocean": _prefixed("dop" + "_v1_", HEX, 64),
    "vault": _prefixed("hv" + "s.", URL_SAFE, 90),
    "databricks": _prefixed("da" + "pi", HEX, 32),
    "linear": _prefixed("lin_" + "api_", ALNUM, 40),
    "figma": _prefixed("fi" + "gd_", URL_SAFE, 40),
    "grafana": lambda make: "gl" + "sa_" + make.of(ALNUM, 32) + "_" + make.of(HEX, 8),
    "postman": lambda make: "PM" + "AK-" + make.of(HEX, 24) + "-" + make.of(HEX, 34),
    "docker_hub": _prefixed("dckr" + "_pat_", URL_SAFE, 27),
    "rubygems": _prefixed("ruby" + "gems_", HEX, 48),
    "terraform": lambda make: make.of(ALNUM, 14) + ".atlas" + "v1." + make.of(ALNUM, 67),
    "atlassian": _prefixed("ATA" + "TT3", URL_SAFE, 180),
    "new_relic": _prefixed("NR" + "AK-", UPPER + DIGITS, 27),
    "age": _prefixed("AGE-SECRET" + "-KEY-1", UPPER + DIGITS, 58),
}

# Ways in which a value of a known form turns up in what an agent reads or prints.
SETTINGS = (
    "$ env | sort\nLANG=C.UTF-8\nSERVICE_VALUE={secret}\nTERM=xterm\n",
    '{{"level":"debug","msg":"calling upstream","detail":"used {secret} for the call","ms":12}}\n',
    "-const client = new Client('{secret}');\n+const client = new Client(process.env.CLIENT);\n",
    "2026-02-11T10:02:11Z ERROR upstream rejected {secret}: 401\n",
    "please use {secret} from now on, thanks",
    "    value: {secret}  # rotate\n",
    '"output":"line one\\n{secret}\\nline three"',
    "[default]\nvalue = {secret}\nregion = eu-west-1\n",
)


def _assigned(make: Maker) -> list[tuple[str, str, str]]:
    """(kind, text, secret) for kinds that only their surroundings give away."""
    password, long, hexadecimal = make.password(), make.of(BASE64, 40), make.of(HEX, 32)
    user = make.random.choice(["svc", "deploy", "app_rw", "reporting"])
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    return [
        ("aws_secret_key", f"aws_secret_access_key = {long}\n", long),
        ("aws_secret_env", f"export AWS_SECRET_ACCESS_KEY={long}\n", long),
        ("aws_session_token", f'"SessionToken": "{make.of(BASE64, 200)}"', ""),
        (
            "azure_storage",
            "DefaultEndpointsProtocol=https;AccountName=prod;Account"
            + f"Key={make.of(BASE64, 86)}==;EndpointSuffix=core.windows.net",
            "",
        ),
        ("azure_sas", f"https://prod.blob.core.windows.net/c/f?sv=2022-11-02&sp=r&sig={make.of(ALNUM, 43)}%3D\n", ""),
        ("postgres_url", f"DATABASE_URL=postgres://{user}:{password}@db.internal:5432/app\n", password),
        ("redis_url", f"redis://:{password}@cache:6379/0", password),
        ("mongodb_url", f"connecting to mongodb+srv://{user}:{password}@cluster0.ab1cd.mongodb.net/test", password),
        ("git_remote", f"origin\thttps://{user}:{hexadecimal}@git.corp.io/team/app.git (fetch)\n", hexadecimal),
        ("git_remote_token", f"url = https://{hexadecimal}@git.corp.io/team/app.git\n", hexadecimal),
        ("ado_connection", f"Server=db;Database=app;User Id={user};Pass" + f"word={password};Encrypt=true", password),
        ("env_password", "POSTGRES_USER=app\nPOSTGRES_PASS" + f"WORD={password}\nPOSTGRES_DB=app\n", password),
        ("env_api_key", f"DATADOG_API_KEY={hexadecimal}\nDD_SITE=datadoghq.eu\n", hexadecimal),
        ("env_word", "ADMIN_PASS" + f"WORD={make.of(LOWER, 10)}\n", ""),
        ("json_password", f'{{"user": "{user}", "pass' + f'word": "{password}", "port": 5432}}', password),
        ("json_escaped", '"text":"{\\"client_sec' + f'ret\\":\\"{long}\\",\\"n\\":1}}"', long),
        ("yaml_secret", f"  api:\n    secret_key: {long}\n    debug: false\n", long),
        ("toml_token", f'[registry]\ntoken = "{make.of(ALNUM, 32)}"\n', ""),
        ("source_constant", "API_TO" + f"KEN = '{make.of(ALNUM, 30)}'\n", ""),
        ("typed_constant", f'const apiKey: string = "{make.of(ALNUM, 28)}";\n', ""),
        (
            "bearer_header",
            "curl -H 'Authorization: Bear" + f"er {make.of(URL_SAFE, 40)}' https://api.corp.io/v1\n",
            "",
        ),
        ("basic_header", "> Authorization: Bas" + f"ic {basic}\n> Accept: */*\n", basic),
        ("curl_user", f"curl -sS -u {user}:{password} https://ci.corp.io/job/1\n", password),
        ("cli_flag", f"docker login --username {user} --pass" + f"word {password} ghcr.io\n", password),
        ("mysql_flag", f"mysql -h db -u {user} -p{password} app -e 'select 1'\n", password),
        ("sshpass", f"sshpass -p '{password}' ssh {user}@10.0.0.4\n", password),
        ("sql_password", f"CREATE ROLE {user} WITH PASS" + f"WORD '{password}';\n", password),
        ("netrc", f"machine git.corp.io login {user} password {password}\n", password),
        ("docker_config", f'{{"auths":{{"ghcr.io":{{"auth": "{basic}"}}}}}}', basic),
        ("kubeconfig", f"    client-key-data: {make.of(BASE64, 400)}\n", ""),
        (
            "npmrc",
            "//registry.example.org/:_auth"
            + f"Token={make.of(HEX, 8)}-{make.of(HEX, 4)}-{make.of(HEX, 4)}-{make.of(HEX, 4)}-{make.of(HEX, 12)}\n",
            "",
        ),
        (
            "aws_presigned",
            "https://b.s3.amazonaws.com/k?X-Amz-Expires=900&X-Amz-Signa" + f"ture={make.of(HEX, 64)}\n",
            "",
        ),
        (
            "cloudfront",
            "https://d1.cloudfront.net/a?Expires=17&Signa" + f"ture={make.of(URL_SAFE, 80)}&Key-Pair-Id=K2\n",
            "",
        ),
        ("cookie", f"Set-Cookie: session={make.of(ALNUM, 48)}; Path=/; HttpOnly\n", ""),
        ("bcrypt", "admin:$2" + f"b$12${make.of(ALNUM, 53)}\n", ""),
        ("shadow", "root:$" + f"6${make.of(ALNUM, 16)}${make.of(ALNUM, 86)}:19000:0:99999:7:::\n", ""),
        ("rsa_private_key", make.pem("RSA PRIVATE" + " KEY"), ""),
        ("openssh_private_key", make.pem("OPENSSH PRIVATE" + " KEY"), ""),
        ("escaped_private_key", '{"private_key": "' + make.pem("PRIVATE" + " KEY", "\\n") + '\\n"}', ""),
        ("xml_password", f"<server><id>c</id><password>{password}</password></server>", password),
        ("sentry_dsn", f"SENTRY_DSN=https://{hexadecimal}@o12.ingest.sentry.io/345\n", hexadecimal),
        ("yaml_password", f"db:\n  user: {user}\n  pass" + f"word: {password}\n  port: 5432\n", password),
        ("docker_env", "ENV API_TO" + f"KEN {hexadecimal}\nRUN make\n", hexadecimal),
        ("java_property", "java -Djavax.net.ssl.keyStorePass" + f"word={password} -jar a.jar\n", password),
        ("spring_property", "spring.datasource.pass" + f"word={password}\n", password),
        ("api_key_header", "X-Api-K" + f"ey: {hexadecimal}\nAccept: */*\n", hexadecimal),
        ("xml_attribute", '<add key="ApiK' + f'ey" value="{hexadecimal}" />', hexadecimal),
        ("redis_cli", f"redis-cli -h cache -a {password} ping\n", password),
        ("spoken_password", "ok, the pass" + f"word for {user} is {password} but keep it", password),
        ("setter", "user.set_pass" + f"word('{password}')\nuser.save()\n", password),
        ("query_parameter", "GET /v1/items?api_k" + f"ey={hexadecimal}&page=2\n", hexadecimal),
        ("ruby_hash", ":pass" + f'word => "{password}",\n', password),
        ("django_secret", "SECRET_K" + f"EY = 'django-insecure-{make.of(ALNUM, 50)}'\n", ""),
        ("email", f"Author: Ann Lee <ann.{make.of(LOWER, 6)}@{make.of(LOWER, 7)}.io>\n", ""),
        ("home_linux", f'  File "/home/{user}{make.of(LOWER, 5)}/src/app.py", line 3\n', ""),
        ("home_mac", f"cd /Users/{make.of(LOWER, 7)}/code/app && ls\n", ""),
        ("home_windows", f"C:\\Users\\{make.of(LOWER, 7)}\\AppData\\Local\\x.log\n", ""),
    ]


_TAKES = {
    "aws_session_token": ': "', "azure_storage": "AccountKey=", "azure_sas": "sig=", "env_word": "WORD=", "toml_token": '= "', "source_constant": "= '", "typed_constant": '= "',
    "bearer_header": "Bearer ", "kubeconfig": "data: ", "npmrc": "Token=", "aws_presigned": "ture=", "cloudfront": "ture=", "cookie": "session=", "bcrypt": "admin:", "shadow": "root:",
    "rsa_private_key": "\n", "openssh_private_key": "\n", "escaped_private_key": "\\n", "django_secret": "= '", "email": "<", "home_linux": "/home/", "home_mac": "/Users/", "home_windows": "Users\\",
}  # fmt: skip


def _value_after(text: str, lead: str) -> str:
    """The value that starts after `lead` and reaches to the next separator."""
    rest = text.split(lead, 1)[1]
    for position, character in enumerate(rest):
        if character in "\"'\n;&\\> :" or (character == "/" and lead in ("/home/", "/Users/")):
            return rest[:position]
    return rest


def secrets(per_kind: int, seed: int = 7) -> list[Planted]:
    """`per_kind` planted secrets of each kind, each in its own realistic piece of output."""
    make = Maker(seed)
    planted = []
    for index in range(per_kind):
        for kind, form in FORMS.items():
            secret = form(make)
            planted.append(
                Planted(kind, SETTINGS[(index + len(planted)) % len(SETTINGS)].format(secret=secret), secret)
            )
        planted += [
            Planted(kind, text, secret or _value_after(text, _TAKES[kind])) for kind, text, secret in _assigned(make)
        ]
    return planted


def look_alikes(per_kind: int, seed: int = 11) -> list[Planted]:
    """Output in which nothing is secret, though much of it is random, or names secrets without holding one."""
    make = Maker(seed)
    planted = []
    for _ in range(per_kind):
        sha, sha256, base64_text = make.of(HEX, 40), make.of(HEX, 64), make.of(BASE64, 86)
        uuid = "-".join(make.of(HEX, n) for n in (8, 4, 4, 4, 12))
        name = make.of(LOWER, 6)
        planted += [Planted(kind, text, None) for kind, text in _harmless(make, sha, sha256, base64_text, uuid, name)]
    return planted


def _harmless(make: Maker, sha: str, sha256: str, base64_text: str, uuid: str, name: str) -> list[tuple[str, str]]:
    return [
        ("git_sha", f"commit {sha}\nMerge: {sha[:7]} {sha[8:15]}\n"),
        ("git_range", f"   {sha[:9]}..{sha[10:19]}  main -> main\nHEAD is now at {sha[:9]} fix token refresh\n"),
        ("git_remote", "origin\tgit@github.com:team/app.git (push)\norigin https://github.com/team/app.git\n"),
        ("uuid", f'"request_id": "{uuid}", "thread": "{uuid}"\n'),
        ("npm_lock", f'"integrity": "sha512-{base64_text}==",\n"resolved": "https://registry.example.org/{name}/-/{name}-1.2.3.tgz"\n'),
        ("python_lock", f'{{ url = "https://packages.example.org/packages/{sha[:2]}/{sha[2:4]}/{name}.whl", hash = "sha256:{sha256}" }}\n'),
        ("go_sum", f"github.com/{name}/{name} v1.4.0 h1:{base64_text[:43]}=\n"),
        ("cargo_lock", f'checksum = "{sha256}"\n'),
        ("docker_digest", f"Digest: sha256:{sha256}\nStatus: Downloaded newer image for {name}:latest\n"),
        ("base64_image", f"![logo](data:image/png;base64,iVBORw0KGgo{make.of(BASE64, 400)})\n"),
        ("file_path", f"/usr/lib/python3.11/site-packages/{name}/secrets/token_store.py:12:def load_token(path):\n"),
        ("path_list", f"src/auth/password_reset.py\nsrc/auth/tokens/{name}.ts\ntests/test_secret_{name}.py\n"),
        ("password_prose", "The password must not be empty. Enter your password: \nForgot password? Reset the token.\n"),
        ("password_code", "def check(password: str, secret: bytes | None = None) -> bool:\n    return hash(password) == secret\n"),
        ("reference", 'api_key = os.environ["API_KEY"]\npassword = config.get("password")\ntoken = request.headers.get("X-Token")\n'),
        ("reference_js", "const token = process.env.TOKEN;\nconst secret = await getSecret(name);\npassword: this.form.password,\n"),
        ("template", "password: ${DB_PASSWORD}\ntoken: {{ .Values.token }}\nAPI_KEY=<your-api-key>\nSECRET_KEY=changeme\n"),
        ("shell_reference", 'export TOKEN="$GITHUB_TOKEN"\ncurl -H "Authorization: Bearer $TOKEN" https://api.corp.io\n'),
        ("workflow", "token: ${{ secrets.GITHUB_TOKEN }}\npassword: ${{ secrets.DOCKER_PASSWORD }}\n"),
        ("counts", '"total_tokens": 18233, "max_tokens": 4096, "token_count": 12, "tokens": 77\n'),
        ("type_declaration", "interface Login { password: string; token?: string; secret: Buffer }\n"),
        ("test_names", f"tests/test_login.py::test_wrong_password_{name} PASSED\ntoken_type = bearer_only\n"),
        ("example_mail", "user@example.com, admin@example.org and noreply@github.com\n"),
        ("version_at", f"npm i {name}@1.2.3 @types/{name}@18.0.1\nimage@2x.png logo@3x.png\n"),
        ("decorator", "@app.route('/login')\n@pytest.mark.parametrize('password', VALUES)\n"),
        ("diff_hunk", f"@@ -12,7 +12,9 @@ def token(self):\nindex {sha[:7]}..{sha[8:15]} 100644\n"),
        ("plain_url", f"https://docs.corp.io/guide/{name}?page=2#password-reset and http://localhost:8080/health\n"),
        ("role_home", "/home/user/project/a.py /home/runner/work/x /Users/Shared/y ~/.config/app\n"),
        ("project_home", f"src/pages/home/{name}.tsx  assets/home/banner.css\n"),
        ("empty_value", "PASSWORD=\nTOKEN=\nsecret: \"\"\npassword = None\ntoken: null\n"),
        ("public_key", f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{base64_text[:43]} deploy\n"),
        ("certificate", make.pem("CERTIFICATE") + "\n"),
        ("sandbox_words", "task-runner-us disk-usage risk-based ask-user desk-lamp npm_config_cache=/tmp hf_home\n"),
        ("etag", f'ETag: W/"{sha256[:32]}"\nX-Request-Id: {uuid}\nx-trace: {sha256}\n'),
        ("lexer_code", "const token1 = lexer.next();\nif (password == confirmPassword2) {\ntoken = tokens[i2]\n"),
        ("dependency", "token: Annotated[str, Depends(oauth2_scheme)]\nprivate_key = load_pem_private_key(data2)\n"),
        ("limits", "TOKEN_LIMIT=4096\nPASSWORD_MIN_LENGTH=12\nsecret_version: 3\ntoken_ids=[101, 102]\n"),
        ("directories", f"PWD=/srv/{name}1\nOLDPWD=/srv/{name}2\ncd $(pwd)/{name}\n"),
        ("at_signs", "https://unpkg.com/react@18.2.0/index.js https://medium.com/@dev/post uses: actions/checkout@v4\n"),
        ("token_prose", f"The token is invalid. A token for {name} is required; the password is wrong, see secret store.\n"),
        ("kubernetes", f"secretName: {name}-tls\nsecretKeyRef:\n  name: {name}\n  key: password\nserviceAccountToken: true\n"),
    ]  # fmt: skip
