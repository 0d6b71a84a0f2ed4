import java.io.File;
import java.util.List;
import org.gradle.StartParameter;
import org.gradle.api.Project;
import org.gradle.api.internal.artifacts.dsl.dependencies.DependencyLockingProvider;
import org.gradle.api.internal.artifacts.ivyservice.ivyresolve.verification.DependencyVerificationOverride;
import org.gradle.api.internal.project.ProjectInternal;
import org.gradle.internal.service.ServiceRegistry;
import org.gradle.testfixtures.ProjectBuilder;

/**
 * Arguments: a repository's address, a home for Gradle, dependencies. Writes both locks of a Java library that has
 * them, in the working directory, as `gradle --write-locks --write-verification-metadata sha256` does.
 */
public class GradleItself {
    public static void main(String[] args) {
        File folder = new File("").getAbsoluteFile();
        Project project =
            ProjectBuilder.builder().withProjectDir(folder).withGradleUserHomeDir(new File(args[1])).build();
        StartParameter start = project.getGradle().getStartParameter();
        start.setWriteDependencyLocks(true);
        start.setWriteDependencyVerifications(List.of("sha256"));
        project.getPluginManager().apply("java-library");
        project.getRepositories().maven(repository -> {
            repository.setUrl(args[0]);
            repository.setAllowInsecureProtocol(true);
        });
        for (String each : List.of(args).subList(2, args.length)) {
            project.getDependencies().add("implementation", each);
        }
        project.getDependencyLocking().lockAllConfigurations();
        for (String name : List.of("compileClasspath", "runtimeClasspath")) {
            project.getConfigurations().getByName(name).getFiles();
        }
        // What Gradle calls when a build ends.
        ServiceRegistry services = ((ProjectInternal) project).getServices();
        services.get(DependencyLockingProvider.class).buildFinished();
        services.get(DependencyVerificationOverride.class).buildFinished(project.getGradle());
        System.exit(0); // its threads do not end
    }
}
