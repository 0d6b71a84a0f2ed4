"""Names that many builds have, from which others are told that are one letter off (docs/firewall.md)."""

_NAMES = """
aiobotocore aiohttp aiosignal alembic annotated-types anthropic anyio argcomplete asgiref asn1crypto
async-timeout asyncpg attrs azure-core azure-identity azure-storage-blob babel backoff bcrypt
beautifulsoup beautifulsoup4 black bleach blinker boto boto3 botocore build cachetools celery certifi cffi
chardet charset-normalizer click cloudpickle colorama coverage croniter cryptography cython
dataclasses-json datadog decorator defusedxml deprecated dill distlib distro django djangorestframework
dnspython docker docutils elasticsearch email-validator execnet fastapi filelock flake8 flask fonttools
frozenlist fsspec gevent gitpython google-api-core google-auth google-cloud-bigquery google-cloud-core
google-cloud-storage googleapis-common-protos greenlet grpcio grpcio-status gunicorn h11 httpcore httplib2
httptools httpx huggingface-hub hypothesis idna importlib-metadata importlib-resources iniconfig ipykernel
ipython isodate isort itsdangerous jedi jinja2 jmespath joblib jsonpatch jsonpointer jsonschema
jupyter-client jupyter-core keyring kiwisolver kombu kubernetes langchain lxml mako markdown
markdown-it-py markupsafe marshmallow matplotlib mccabe mock more-itertools moto msal msgpack multidict
mypy mypy-extensions nbformat networkx nltk nodeenv numpy oauthlib openai openpyxl opentelemetry-api
opentelemetry-sdk orjson oscrypto packaging pandas paramiko parso pathspec pexpect pillow pip platformdirs
pluggy ply poetry poetry-core pre-commit prometheus-client prompt-toolkit propcache protobuf psutil
psycopg psycopg2 psycopg2-binary ptyprocess pyarrow pyasn1 pyasn1-modules pycparser pycryptodome
pycryptodomex pydantic pydantic-core pydantic-settings pygments pyjwt pymongo pymysql pynacl pyopenssl
pyparsing pytest pytest-asyncio pytest-cov pytest-mock pytest-xdist python-dateutil python-dotenv
python-multipart pytz pyyaml pyzmq rapidfuzz redis referencing regex requests requests-oauthlib
requests-toolbelt rich rpds-py rsa ruamel-yaml ruff s3fs s3transfer safetensors scikit-learn scipy
selenium sentencepiece sentry-sdk setuptools shapely shellingham simplejson slack-sdk smmap sniffio
snowflake-connector-python sortedcontainers soupsieve sphinx sqlalchemy sqlparse starlette sympy tabulate
tenacity tensorflow termcolor threadpoolctl tiktoken tokenizers toml tomli tomlkit toolz torch tornado
tqdm traitlets transformers typer types-requests typing-extensions typing-inspect tzdata tzlocal ujson
urllib3 uvicorn uvloop virtualenv watchdog watchfiles wcwidth webencodings websocket-client websockets
werkzeug wheel wrapt xmltodict yarl zipp zstandard
"""

POPULAR = frozenset(_NAMES.split())
