"""Maven: ranges, LATEST and RELEASE through the view beside the same through the repository as it was.

Both by `mvn dependency:collect`, in one build with a module for each root; compared is everything in its
list, with version and scope. Plugins come from the plain address: those of today are no matter here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from datetime import datetime
from pathlib import Path

from bench.harness.orchard import Orchard, orchard
from bench.resolution_oracle_maven import read_list
from bench.time_machine.compared import Compared, Outcome, client, differing, last_words, refusals
from bench.time_machine.dated_repository import Repository, serve

# Nothing here depends on another one of these: made-up dates of the two would contradict each other. For a
# range mvn reads the POM of every version in it: these are of projects with few.
ROOTS = (
    "com.google.guava:guava:RELEASE", "com.google.code.gson:gson:[2.0,3.0)",
    "commons-io:commons-io:[2.0,3.0)",
    "org.apache.commons:commons-lang3:LATEST", "org.apache.commons:commons-math3:RELEASE",
    "org.apache.commons:commons-collections4:[4.0,5.0)", "commons-cli:commons-cli:[1.2,2.0)",
    "org.apache.commons:commons-pool2:LATEST", "ch.qos.logback:logback-classic:[1.1,1.2)",
    "com.zaxxer:HikariCP:RELEASE", "com.fasterxml.jackson.core:jackson-databind:LATEST",
    "org.junit.jupiter:junit-jupiter-api:RELEASE", "junit:junit:[4.0,5.0)",
    "org.assertj:assertj-core:LATEST", "org.mockito:mockito-core:RELEASE", "org.hamcrest:hamcrest:RELEASE",
    "org.testng:testng:LATEST", "com.h2database:h2:RELEASE", "org.hsqldb:hsqldb:[2.3,3.0)",
    "org.postgresql:postgresql:LATEST", "org.xerial:sqlite-jdbc:RELEASE", "org.projectlombok:lombok:RELEASE",
    "com.squareup.okhttp3:okhttp:RELEASE", "io.reactivex.rxjava3:rxjava:RELEASE",
    "io.projectreactor:reactor-core:LATEST", "org.jsoup:jsoup:LATEST", "joda-time:joda-time:RELEASE",
    "org.yaml:snakeyaml:[1.20,2.0)", "com.github.ben-manes.caffeine:caffeine:RELEASE",
    "org.apache.logging.log4j:log4j-core:LATEST", "org.apache.httpcomponents:httpclient:RELEASE",
    "org.apache.httpcomponents.core5:httpcore5:LATEST", "io.netty:netty-buffer:RELEASE",
    "org.eclipse.jetty:jetty-util:LATEST", "jakarta.servlet:jakarta.servlet-api:RELEASE",
    "jakarta.persistence:jakarta.persistence-api:LATEST", "org.ow2.asm:asm:RELEASE",
    "org.javassist:javassist:[3.20,4.0)", "com.google.protobuf:protobuf-java:RELEASE",
    "info.picocli:picocli:LATEST", "org.apache.kafka:kafka-clients:RELEASE",
    "org.mapstruct:mapstruct:RELEASE", "org.freemarker:freemarker:[2.3,2.4)", "org.json:json:LATEST",
    "io.micrometer:micrometer-commons:RELEASE", "io.dropwizard.metrics:metrics-core:RELEASE",
    "org.springframework:spring-core:LATEST", "com.typesafe:config:[1.3,2.0)",
    "org.bouncycastle:bcprov-jdk18on:RELEASE", "org.aspectj:aspectjweaver:RELEASE",
)  # fmt: skip
MVN = Path(__file__).resolve().parents[2] / ".cache" / "clients" / "mvn-3.9" / "bin" / "mvn"
COLLECT = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:collect"
_REFUSED = re.compile(r"on project m(\d+): (.*)")


def compare(base: str, moments: Sequence[str], roots: Sequence[str], work: Path) -> Iterator[Compared]:
    """Each root at each moment (RFC 3339); `base` is the address of an Orchard in front of the repository. A
    second one, whose view is looked at, is in front of what that tells, with dates."""
    repository = Repository(f"{base}/maven/", [_project(root) for root in roots])
    print(
        "the repository tells dates" if repository.tells_dates else "it tells no dates: made up", flush=True
    )
    work.mkdir(parents=True, exist_ok=True)
    data = work / "dated"
    with closing(repository), serve(repository) as dated, _orchard(data, f"{dated}/maven/") as second:
        for moment in moments:
            seconds = int(datetime.fromisoformat(moment).timestamp())
            plain = second.url("/maven/")
            views = _locks(second.url(f"/v/at-{moment}/maven/"), plain, roots, work / "view")
            oracles = _locks(f"{dated}/then-{seconds}/", plain, roots, work / "then")
            for root, view, oracle in zip(roots, views, oracles, strict=True):
                names = differing(view, oracle)
                why = [_explained(repository, seconds, name, view, oracle) for name in names]
                yield Compared(root, moment, view, oracle, (*why, *refusals(view, oracle)))


def _orchard(data: Path, repository: str) -> AbstractContextManager[Orchard]:
    """For Maven alone; nobody is at the index's address."""
    return orchard(data, upstream="http://127.0.0.1:9/simple/", pin=False, maven_upstream=repository)


def _project(root: str) -> str:
    group, artifact, _ = root.split(":")
    return f"{group.replace('.', '/')}/{artifact}"


def _locks(repository: str, plugins: str, roots: Sequence[str], work: Path) -> list[Outcome]:
    """One build; the local repository begins empty."""
    shutil.rmtree(work, ignore_errors=True)
    modules = "".join(f"<module>m{number}</module>" for number in range(len(roots)))
    _write(work / "pom.xml", "all", f"<packaging>pom</packaging><modules>{modules}</modules>")
    for number, root in enumerate(roots):
        tags = zip(("groupId", "artifactId", "version"), root.split(":"), strict=True)
        dependency = "".join(f"<{tag}>{text}</{tag}>" for tag, text in tags)
        sources = _source("repository", "central", repository) + _source(
            "pluginRepository", "plugins", plugins
        )
        about = f"<dependencies><dependency>{dependency}</dependency></dependencies>{sources}"
        _write(work / f"m{number}" / "pom.xml", f"m{number}", about)
    others = f"<mirror><id>view</id><mirrorOf>*,!central,!plugins</mirrorOf><url>{repository}</url></mirror>"
    (work / "settings.xml").write_text(f"<settings><mirrors>{others}</mirrors></settings>")
    options = ["-B", "-fae", "-s", "settings.xml", f"-Dmaven.repo.local={work / 'local'}"]
    command = [str(MVN), *options, "-DoutputFile=list.txt", COLLECT]
    _, out, _ = client(command, work, work / "home")
    (work / "mvn.log").write_text(out)
    refused = {int(found[1]): found[2] for found in _REFUSED.finditer(out)}
    return [
        _outcome(work / f"m{number}" / "list.txt", refused.get(number, "")) for number in range(len(roots))
    ]


def _outcome(path: Path, refused: str) -> Outcome:
    lines = None if refused else read_list(path)
    if lines is None:
        return Outcome(None, last_words([refused or "mvn wrote no list"]))
    split = (line.split(":") for line in lines)
    return Outcome({":".join(parts[:-2]): ":".join(parts[-2:]) for parts in split})


def _source(kind: str, name: str, url: str) -> str:
    plural = f"{kind[:-1]}ies"
    here = f"<{kind}><id>{name}</id><url>{url}</url></{kind}>"
    if name != "central":  # or what the super POM calls so would be asked as well
        here += (
            f"<{kind}><id>central</id><url>{url}</url><releases><enabled>false</enabled></releases></{kind}>"
        )
    return f"<{plural}>{here}</{plural}>"


def _write(path: Path, artifact: str, more: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>oracle</groupId>"
        f"<artifactId>{artifact}</artifactId><version>1</version>{more}</project>"
    )


def _explained(repository: Repository, moment: int, name: str, view: Outcome, oracle: Outcome) -> str:
    """What the repository says of the versions that the two took."""
    group, artifact, *_ = name.split(":")
    project = f"{group.replace('.', '/')}/{artifact}"
    notes = []
    for side, outcome in (("view", view), ("oracle", oracle)):
        version = (outcome.lock or {}).get(name, "").partition(":")[0]
        date = repository.date(f"{project}/{version}/{artifact}-{version}.pom") if version else 0.0
        later = " uploaded later: WRONG" if date > moment else ""
        undated = " without a date" if version and not date else ""
        notes.append(f"{side} {version or 'without it'}{later}{undated}")
    return f"{name}: {'; '.join(notes)}"
