"""Secrets stay out of what is saved, and nothing else does."""

import hashlib
import logging
import sys

import pytest
from omegaconf import OmegaConf

from tunesmith.config.redact import (
    REDACTED,
    Redacted,
    config_hash,
    is_secret,
    redact,
    redact_override,
    redact_text,
)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "passwd",
        "secret",
        "client_secret",
        "token",
        "hf_token",
        "hfToken",
        "api_key",
        "apiKey",
        "apikey",
        "WANDB_API_KEY",
        "credential",
        "credentials",
        "private_key",
        "access_key",
        "aws_secret_access_key",
        "auth",
        "authorization",
        "Authorization",
        "basic-auth",
        *("password1", "api_key_2", "passwords", "api_keys", "authtoken", "accesstoken", "secretkey", "wandb_key"),
        *("ssh_key", "account_key", "pw", "pat", "cookie", "dsn", "secret_value", "secrets", "access_tokens"),
    ],
)
def test_secret(key):
    assert is_secret(key)
    assert redact(OmegaConf.create({"a": {key: "hunter2"}}))["a"][key] == REDACTED


@pytest.mark.parametrize(
    "key",
    [
        "use_cls_token",
        "cls_token",
        "pad_token",
        "mask_token",
        "num_tokens",
        "max_tokens",
        "tokens",
        "tokenizer",
        "token_type",
        "author",
        "key",
        "monitor",
        "password_length",
        "authentic",
        "keys",
        "secretary",
        *("pass_through", "value", "text_value", "key_2", "sort_keys", "token_count", "bypass", "path", "sha256"),
    ],
)
def test_no_secret(key):
    assert not is_secret(key)
    assert redact(OmegaConf.create({key: "plain"})) == {key: "plain"}


def test_what_hides_nothing_stays():
    plain = {"auth": True, "token": None, "count": 3}
    assert redact(OmegaConf.create(plain)) == plain


def test_a_number_can_be_a_secret():
    assert redact(OmegaConf.create({"password": 12345678})) == {"password": REDACTED}


def test_the_default_of_a_secret_from_the_environment_goes():
    assert redact(OmegaConf.create({"password": "${oc.env:X,sesame}"})) == {"password": "${oc.env:X}"}


@pytest.mark.parametrize(
    ("typed", "saved"),
    [
        ("+x.password=my sesame", f"+x.password={REDACTED}"),
        ("+x.api_key=[a,sesame]", f"+x.api_key={REDACTED}"),
        (r"password=a\,sesame", f"password={REDACTED}"),
        ("password=12345678", f"password={REDACTED}"),
        ("+logger.x={api_key: sesame}", f"+logger.x={REDACTED}"),
        ("x.url=https://me:sesame@host/a", f"x.url=https://{REDACTED}@host/a"),
        ("x.password=${oc.env:PW}", "x.password=${oc.env:PW}"),
        ("backbone.use_cls_token=true", "backbone.use_cls_token=true"),
        ("policy.phases=[{train: [head]}]", "policy.phases=[{train: [head]}]"),
        ("~callback.ema", "~callback.ema"),
        ("~a.password=sesame", f"~a.password={REDACTED}"),
        ("+password=sesame", f"+password={REDACTED}"),
        ("++token=sesame", f"++token={REDACTED}"),
        ("group@x.token=sesame", f"group@x.token={REDACTED}"),
        ("a/token=sesame", f"a/token={REDACTED}"),
        ("x.token=null", "x.token=null"),
        ("+x={password : a, b: {c: 1}}", f"+x={REDACTED}"),
        ("+x={pad_token: a}", "+x={pad_token: a}"),
        ("x.note=a.password=sesame", f"x.note=a.password={REDACTED}"),
        ("password", "password"),
        ("x.password=${oc.env:NOPE,secret}", "x.password=${oc.env:NOPE}"),
        ("x.y=${oc.env:API_KEY,sesame}", "x.y=${oc.env:API_KEY}"),
        ("x={a: ${oc.env:HOME}, password: sesame}", f"x={REDACTED}"),
        ("x.env=[{name: API_KEY, value: sesame}]", f"x.env={REDACTED}"),
        ("x.h={Authorization: 'Bearer sesame-sesame'}", f"x.h={REDACTED}"),
        ("x.args=['--password=sesame']", f"x.args=['--password={REDACTED}"),
        ("x.y=${oc.env:HOME,/root}", "x.y=${oc.env:HOME,/root}"),
        ("x.url=https://h/x?access_token=sesame", f"x.url=https://h/x?access_token={REDACTED}"),
    ],
)
def test_overrides(typed, saved):
    assert redact_override(typed) == saved


@pytest.mark.parametrize(
    "text",
    [
        "{'password': 'sesame'}",
        '{"api_key": "sesame", "n": 3}',
        '{"api_key": sesame}',
        "Authorization: Bearer sesame.sesame",
        "{'Authorization': 'Basic c2VzYW1l-sesame'}",
        "Cookie: a=b; session=sesame",
        "curl -H 'x-api-key: sesame'",
        "https://h/x?a=1&access_token=sesame&b=2",
        "--password=sesame",
        "sent bearer sesame-sesame",
        "hf_sesamesesamesesame",
        "ghp_sesamesesamesesame0",
        "AKIASESAMESESAMESESA",
    ],
)
def test_secrets_in_texts_go_wherever_they_stand(text):
    assert "sesame" not in redact_text(text).lower()
    assert "sesame" not in str(redact(OmegaConf.create({"x": text, "y": [text], "z": {"a": text}}))).lower()


@pytest.mark.parametrize("text", ["{'tokens': 3}", "basic blocks", "a: b", "n=3, m=4", "https://h/x?q=1", "bearer of"])
def test_texts_without_stay(text):
    assert redact_text(text) == text
    assert redact(OmegaConf.create({"x": text})) == {"x": text}


def test_what_another_value_calls_a_secret_is_one():
    cfg = OmegaConf.create(
        {
            "env": [{"name": "API_KEY", "value": "sesame"}, {"name": "MODE", "value": "fast"}],
            "args": ["--password", "sesame"],
        }
    )
    env = [{"name": "API_KEY", "value": REDACTED}, {"name": "MODE", "value": "fast"}]
    assert redact(cfg) == {"env": env, "args": ["--password", REDACTED]}


def test_a_secret_is_hidden_below_and_wherever_it_is_referred_to():
    cfg = OmegaConf.create(
        {"credentials": {"user": "me", "pw": ["x"]}, "a": {"password": "pw1"}, "b": "is ${a.password}"}
    )
    assert "pw1" not in str(saved := redact(cfg))
    assert saved["credentials"] == {"user": REDACTED, "pw": [REDACTED]}
    assert cfg.b == "is pw1"


def test_what_is_under_a_secrets_key():
    cfg = OmegaConf.create(
        {
            "credentials": {"_target_": "a.B", "user": "me", "id": 7, "share": 0.5, "fast": True, "none": None},
            "secrets": ["x", 1, {"deep": ["y", False]}],
            "token": "???",
            "password": None,
            "auth": "${name}",
            "name": "plain",
            "number": 3,
        }
    )
    saved = redact(OmegaConf.masked_copy(cfg, [k for k in cfg if not OmegaConf.is_missing(cfg, k)]))
    assert saved["credentials"] == {
        "_target_": "a.B",
        "user": REDACTED,
        "id": REDACTED,
        "share": REDACTED,
        "fast": True,
        "none": None,
    }
    assert saved["secrets"] == [REDACTED, REDACTED, {"deep": [REDACTED, False]}]
    assert (saved["password"], saved["name"], saved["number"]) == (None, "plain", 3)
    assert redact(OmegaConf.create({"a": {"b": 1}, "token": "${a}"})) == {"a": {"b": 1}, "token": REDACTED}


def test_a_read_only_configuration_is_redacted_and_stays_as_it_is():
    cfg = OmegaConf.create({"a": {"password": "x", "b": "${oc.env:HOME}"}})
    OmegaConf.set_readonly(cfg, True)
    OmegaConf.set_struct(cfg, True)
    assert redact(cfg) == {"a": {"password": REDACTED, "b": "${oc.env:HOME}"}}
    assert cfg.a.password == "x"


def test_defaults_of_the_environment_go_only_where_they_are_secrets(monkeypatch):
    monkeypatch.delenv("NONE", raising=False)
    texts = [f"{{oc.env:NONE,{word}}}" for word in "abcdefghijkl"]
    cfg = OmegaConf.create({"plain": [f"${text}" for text in texts], "token": "${oc.env:A,x}-${oc.env:B,y}"})
    saved = redact(cfg)
    assert saved == {"plain": [f"${text}" for text in texts], "token": "${oc.env:A}-${oc.env:B}"}


def test_urls_lose_their_user():
    saved = redact(OmegaConf.create({"proxy": ["https://me:pw@host/x?y=a@b", "https://host/a@b"]}))
    assert saved["proxy"] == [f"https://{REDACTED}@host/x?y=a@b", "https://host/a@b"]


def test_the_environment_is_not_read(monkeypatch):
    monkeypatch.setenv("SAMPLE_KEY", "hunter2")
    cfg = OmegaConf.create({"api_key": "${oc.env:SAMPLE_KEY}", "copy": "x ${api_key}", "seed": 1, "twice": "${seed}"})
    assert redact(cfg) == {
        "api_key": "${oc.env:SAMPLE_KEY}",
        "copy": "x ${oc.env:SAMPLE_KEY}",
        "seed": 1,
        "twice": 1,
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("train logger.wandb.api_key=abc seed=1", f"train logger.wandb.api_key={REDACTED} seed=1"),
        ("++a.password='x y' b=2", f"++a.password={REDACTED} b=2"),
        ("model.use_cls_token=true a.token=null", "model.use_cls_token=true a.token=null"),
        ("api_key=${oc.env:KEY}", "api_key=${oc.env:KEY}"),
        ("failed at https://me:pw@host/x", f"failed at https://{REDACTED}@host/x"),
        ('a/b.password="x y", c=1', f"a/b.password={REDACTED}, c=1"),
        ("password=x,seed=1", f"password={REDACTED},seed=1"),
        ("url=https://host/x?api_key=sesame end", f"url=https://host/x?api_key={REDACTED} end"),
        ("note='a password=sesame b'", f"note='a password={REDACTED} b'"),
        ("git+ssh://git@host/x and s3://a:b@host", f"git+ssh://{REDACTED}@host/x and s3://{REDACTED}@host"),
    ],
)
def test_text(text, wanted):
    assert redact_text(text) == wanted


def test_case_makes_no_difference():
    for key in ("PASSWORD", "Db_Password", "HF_TOKEN", "Api_Key", "API-KEY", "Client.Secret"):
        assert is_secret(key), key
    for key in ("CLS_TOKEN", "Pad_Token", "KEY", "MAX_TOKENS"):
        assert not is_secret(key), key
    assert redact_text("at HTTPS://me:pw@host/x") == f"at HTTPS://{REDACTED}@host/x"
    assert redact_text("a.token=None x.token=NULL y.auth=True z.auth=False") == (
        f"a.token={REDACTED} x.token=NULL y.auth=True z.auth=False"
    )
    assert redact_override("PASSWORD=sesame") == f"PASSWORD={REDACTED}"


def test_messages_and_tracebacks_of_the_log_lose_them_too():
    try:
        raise ValueError("api_key=sesame")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "with token=%s", ("sesame",), sys.exc_info())
    text = Redacted().format(record)
    assert "sesame" not in text and text.startswith(f"with token={REDACTED}") and f"api_key={REDACTED}" in text


def test_where_it_runs_and_how_it_goes_on_is_no_part_of_the_hash():
    one = {"seed": 1, "paths": {"logs": "x"}, "resume": None, "resume_force": False}
    for other in ({"paths": {}}, {"resume": "auto"}, {"resume_force": True}):
        assert config_hash(one) == config_hash({**one, **other})
    assert config_hash(one) == config_hash({"seed": 1})
    assert config_hash(one) != config_hash({**one, "name": "x"})
    digest = hashlib.sha256(b'{"a": null, "seed": 1}').hexdigest()  # that of runs which were recorded long ago
    assert config_hash({"seed": 1, "a": None}) == digest


def test_hash():
    one = {"a": 1, "b": {"c": [1, 2], "d": None}, "paths": {"logs": "x"}}
    same = {"paths": {"logs": "y"}, "b": {"d": None, "c": [1, 2]}, "a": 1}
    assert config_hash(one) == config_hash(same)
    assert config_hash(one) != config_hash({**one, "a": 2})
    assert config_hash(one) != config_hash({**one, "b": {"c": [2, 1], "d": None}})
