"""mvn, gradle and coursier.

For the `orchard` command: the standard library and shared.clientfiles alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.clientfiles.setup import (
    NAME,
    CannotEdit,
    ClientSetup,
    Configure,
    FileEdit,
    NotPossible,
    Setup,
    Surroundings,
    set_now,
    told_by,
)
from shared.clientfiles.xml import identities, put_element

_MARK = "// Written by `orchard client-config gradle`: changes here are lost when it is run again."

_GRADLE = """\
{mark}
// Every Maven repository that a build, its plugins or its settings name is read through Orchard.
def orchard = uri('{url}')
def through = {{ repositories ->
    repositories.all {{ repository ->
        if (!(repository instanceof MavenArtifactRepository)) return
        if (!(repository.url?.scheme in ['http', 'https'])) return
        repository.url = orchard
        if (repository.hasProperty('allowInsecureProtocol')) {{
            repository.allowInsecureProtocol = {plain}
        }}{credentials}
    }}
}}
def throughSettings = {{ settings ->
    through(settings.pluginManagement.repositories)
    // An empty list stands for Gradle's own plugin portal, which could not be changed there.
    settings.pluginManagement.repositories.maven {{ url orchard }}
    if (settings.hasProperty('buildscript')) through(settings.buildscript.repositories)
    if (settings.hasProperty('dependencyResolutionManagement')) {{
        through(settings.dependencyResolutionManagement.repositories)
    }}
}}

// beforeSettings came with Gradle 6.
if (gradle.metaClass.respondsTo(gradle, 'beforeSettings')) {{
    gradle.beforeSettings(throughSettings)
}} else {{
    gradle.settingsEvaluated(throughSettings)
}}
allprojects {{ project ->
    through(project.buildscript.repositories)
    through(project.repositories)
}}
"""

_CREDENTIALS = """
        repository.credentials {{
            username = '{name}'
            password = System.getenv('ORCHARD_TOKEN') ?: ''
        }}"""


_COURSIER_BESIDE = ("COURSIER_MIRRORS",)


def mvn(setup: Setup) -> ClientSetup:
    """A mirror of everything in the user's settings.xml."""
    _only_user(setup, "mvn")
    path = setup.home / ".m2" / "settings.xml"
    mirror = f"<id>{NAME}</id>\n      <mirrorOf>*</mirrorOf>\n      <url>{_escaped(_url(setup))}</url>"
    # Maven puts in ${env.NAME} itself when it reads its settings.
    password = "${env.ORCHARD_TOKEN}"  # noqa: S105 - the name of a variable
    server = f"<id>{NAME}</id>\n      <username>{NAME}</username>\n      <password>{password}</password>"

    def edit(text: str) -> str:
        text = put_element(text, "settings", "mirrors", "mirror", NAME, mirror)
        return put_element(text, "settings", "servers", "server", NAME, server) if setup.token else text

    others = told_by(path, lambda text: identities(text, "settings", "mirrors")) or []
    notes = [
        f"the mirror {each} stays, and is used where it names a repository exactly."
        for each in others
        if each != NAME
    ]
    if {"-s", "--settings"} & set(setup.environ.get("MAVEN_ARGS", "").split()):
        notes.append("MAVEN_ARGS names another settings file now, which is read instead of this one.")
    return ClientSetup((FileEdit(path, edit),), notes=tuple(notes))


def gradle(setup: Setup) -> ClientSetup:
    """An init script of the user, which is a file of its own."""
    _only_user(setup, "gradle")
    home = setup.environ.get("GRADLE_USER_HOME", "")
    path = (Path(home) if home else setup.home / ".gradle") / "init.d" / "orchard.init.gradle"

    def edit(text: str) -> str:
        if text and not text.startswith(_MARK):
            raise CannotEdit("it was not written by this command")
        credentials = _CREDENTIALS.format(name=NAME) if setup.token else ""
        plain = str(setup.is_plain).lower()
        return _GRADLE.format(mark=_MARK, url=_url(setup), plain=plain, credentials=credentials)

    note = "one address stands for all: ORCHARD_MAVEN_UPSTREAM must list every repository that builds name."
    return ClientSetup((FileEdit(path, edit),), notes=(note,))


def coursier(setup: Setup) -> ClientSetup:
    """Variables: it has no file that names a repository for all that it does."""
    _only_user(setup, "coursier")
    variables = [f"export COURSIER_REPOSITORIES={_url(setup)}"]
    if setup.token:
        variables.append(f'export COURSIER_CREDENTIALS="{setup.host} {NAME}:$ORCHARD_TOKEN"')
    note = "one address stands for all: ORCHARD_MAVEN_UPSTREAM must list every repository that is needed."
    return ClientSetup((), tuple(variables), (note, *set_now(setup, *_COURSIER_BESIDE)))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _only_user(setup: Setup, tool: str) -> None:
    if setup.project:
        raise NotPossible(f"{tool}: this is a setting of the user, not of a project", "Leave --project out.")


def _url(setup: Setup) -> str:
    return f"{setup.base}/maven/"


def surroundings(setup: Setup) -> Surroundings:
    """mvn (its arguments by a variable from 3.9 on), gradle and coursier."""
    home = setup.home
    local = home / ".m2" / "repository"
    variables = {
        "MAVEN_ARGS": f"-s {home / '.m2' / 'settings.xml'} -Dmaven.repo.local={local}",
        "GRADLE_USER_HOME": str(home / ".gradle"),
        "COURSIER_REPOSITORIES": _url(setup),
        "COURSIER_CACHE": str(home / ".coursier"),
    }
    if setup.token:
        variables["COURSIER_CREDENTIALS"] = f"{setup.host} {NAME}:{setup.environ['ORCHARD_TOKEN']}"
    return Surroundings(variables, (*mvn(setup).files, *gradle(setup).files), _COURSIER_BESIDE)


CLIENTS: Mapping[str, Configure] = {
    "mvn": mvn,
    "gradle": gradle,
    "coursier": coursier,
}
"""By the name of their command."""
