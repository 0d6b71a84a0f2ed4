"""Names that many builds have, from which others are told that are one letter off (docs/firewall.md)."""

_NAMES = """
ch.qos.logback:logback-classic ch.qos.logback:logback-core com.amazonaws:aws-java-sdk-s3
com.fasterxml.jackson.core:jackson-annotations com.fasterxml.jackson.core:jackson-core
com.fasterxml.jackson.core:jackson-databind com.fasterxml.jackson.datatype:jackson-datatype-jsr310
com.github.ben-manes.caffeine:caffeine com.google.code.findbugs:jsr305 com.google.code.gson:gson
com.google.guava:guava com.google.inject:guice com.google.protobuf:protobuf-java com.h2database:h2
com.mysql:mysql-connector-j com.squareup.okhttp3:okhttp com.squareup.okhttp:okhttp com.squareup.okio:okio
com.squareup.retrofit2:retrofit com.squareup.retrofit:retrofit com.zaxxer:HikariCP commons-cli:commons-cli
commons-codec:commons-codec commons-collections:commons-collections commons-io:commons-io
commons-lang:commons-lang commons-logging:commons-logging io.grpc:grpc-netty io.micrometer:micrometer-core
io.netty:netty-all io.netty:netty-handler io.projectreactor:reactor-core io.reactivex.rxjava2:rxjava
io.reactivex.rxjava3:rxjava jakarta.annotation:jakarta.annotation-api javax.inject:javax.inject
javax.servlet:javax.servlet-api joda-time:joda-time junit:junit log4j:log4j net.bytebuddy:byte-buddy
org.apache.commons:commons-collections4 org.apache.commons:commons-compress
org.apache.commons:commons-lang3 org.apache.commons:commons-text org.apache.httpcomponents:httpclient
org.apache.httpcomponents:httpcore org.apache.kafka:kafka-clients org.apache.logging.log4j:log4j-api
org.apache.logging.log4j:log4j-core org.apache.maven:maven-core org.apache.poi:poi
org.apache.poi:poi-ooxml org.apache.spark:spark-core_2.11 org.apache.spark:spark-core_2.12
org.apache.spark:spark-core_2.13 org.aspectj:aspectjweaver org.assertj:assertj-core
org.awaitility:awaitility org.bouncycastle:bcprov-jdk15on org.bouncycastle:bcprov-jdk18on
org.codehaus.groovy:groovy org.eclipse.jetty:jetty-server org.flywaydb:flyway-core
org.glassfish.jersey.core:jersey-server org.hamcrest:hamcrest org.hibernate.orm:hibernate-core
org.hibernate.validator:hibernate-validator org.jetbrains.kotlin:kotlin-reflect
org.jetbrains.kotlin:kotlin-stdlib org.jsoup:jsoup org.junit.jupiter:junit-jupiter
org.junit.jupiter:junit-jupiter-api org.junit.jupiter:junit-jupiter-engine org.liquibase:liquibase-core
org.mapstruct:mapstruct org.mockito:mockito-core org.mockito:mockito-junit-jupiter org.objenesis:objenesis
org.ow2.asm:asm org.postgresql:postgresql org.projectlombok:lombok org.quartz-scheduler:quartz
org.scala-lang:scala-library org.slf4j:jcl-over-slf4j org.slf4j:slf4j-api org.slf4j:slf4j-simple
org.springframework.boot:spring-boot org.springframework.boot:spring-boot-starter
org.springframework.boot:spring-boot-starter-test org.springframework.boot:spring-boot-starter-web
org.springframework:spring-beans org.springframework:spring-context org.springframework:spring-core
org.springframework:spring-test org.springframework:spring-web org.springframework:spring-webmvc
org.testcontainers:testcontainers org.testng:testng org.xerial:sqlite-jdbc org.yaml:snakeyaml
redis.clients:jedis xerces:xercesImpl
"""

POPULAR = frozenset(_NAMES.split())
