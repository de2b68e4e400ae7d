import BackupModel

/// The order in which AWS's own programs look for credentials: environment, web identity, files, container, instance.
extension AWSCredentialFetcher {
    /// - Parameters:
    ///   - role: taken on with what the chain finds; nil uses that itself.
    ///   - stsHost: nil is AWS's.
    package func chain(role: Role? = nil, stsHost: String? = nil) async throws -> Entry {
        let entry = try await first(stsHost)
        guard let role else { return entry }
        return try await assume(role, with: entry.credential, region: Self.stsRegion, service: stsHost)
    }

    /// `AWS_REGION`, or that of the profile; nil when neither says.
    package static func region(_ environment: [String: String]) -> String? {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let region = environment[name], !region.isEmpty { return region }
        }
        guard let profiles = try? AWSProfiles(environment) else { return nil }
        return profiles[environment["AWS_PROFILE"] ?? "default"]?["region"]
    }

    private func first(_ stsHost: String?) async throws -> Entry {
        if let given = inEnvironment() { return given }
        if let file = variable("AWS_WEB_IDENTITY_TOKEN_FILE"), let name = variable("AWS_ROLE_ARN") {
            return try await webIdentity(session(Role(name)), tokenFile: file, service: stsHost)
        }
        let profiles = try AWSProfiles(environment)
        let name = variable("AWS_PROFILE") ?? "default"
        if let found = try await profile(name, profiles, stsHost, seen: []) { return found }
        if variable("AWS_PROFILE") != nil {
            throw BackupError(
                .access, "no credentials in profile '\(name)' of \(profiles.files.joined(separator: ", "))")
        }
        if variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") != nil
            || variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != nil
        {
            return try await container()
        }
        do {
            return try await instance(role: nil)
        } catch var failure as ServiceFailure {
            failure.hint = "neither the environment nor AWS's files nor a container's service have credentials"
            throw failure
        }
    }

    private func inEnvironment() -> Entry? {
        guard let key = variable("AWS_ACCESS_KEY_ID"), let secret = variable("AWS_SECRET_ACCESS_KEY") else {
            return nil
        }
        return Entry(
            AWSCredentials(
                accessKey: key, secretKey: Secret(secret),
                sessionToken: variable("AWS_SESSION_TOKEN").map { Secret($0) }),
            expires: nil)
    }

    /// nil when the profile has none.
    private func profile(
        _ name: String, _ profiles: AWSProfiles, _ stsHost: String?, seen: Set<String>
    ) async throws -> Entry? {
        guard let members = profiles[name] else { return nil }
        if let role = members["role_arn"] {
            // A profile may name itself as the source: then its keys are meant.
            let source = members["source_profile"]
            if seen.contains(name) || source == name {
                if let own = keys(members) { return own }
                throw BackupError(.optionInvalidValue, "profile '\(name)' takes its role from itself")
            }
            return try await assumed(role, members, name, profiles, stsHost, seen: seen.union([name]))
        }
        if let own = keys(members) { return own }
        if let line = members["credential_process"] { return try await process(ShellWords.split(line)) }
        return nil
    }

    private func assumed(
        _ name: String, _ members: [String: String], _ profileName: String, _ profiles: AWSProfiles,
        _ stsHost: String?, seen: Set<String>
    ) async throws -> Entry {
        var role = session(Role(name))
        if let session = members["role_session_name"] { role.session = session }
        role.externalID = members["external_id"]
        role.duration = members["duration_seconds"].flatMap { Int($0) }
        if let file = members["web_identity_token_file"] {
            return try await webIdentity(role, tokenFile: file, service: stsHost)
        }
        let base: Entry?
        if let source = members["source_profile"] {
            base = try await profile(source, profiles, stsHost, seen: seen)
        } else {
            base =
                switch members["credential_source"]?.lowercased() {
                case "environment": inEnvironment()
                case "ec2instancemetadata": try await instance(role: nil)
                case "ecscontainer": try await container()
                default: keys(members)
                }
        }
        guard let base else {
            throw BackupError(.access, "no credentials with which profile '\(profileName)' can take on its role")
        }
        return try await assume(role, with: base.credential, region: Self.stsRegion, service: stsHost)
    }

    private func keys(_ members: [String: String]) -> Entry? {
        guard let key = members["aws_access_key_id"], let secret = members["aws_secret_access_key"] else { return nil }
        return Entry(
            AWSCredentials(
                accessKey: key, secretKey: Secret(secret),
                sessionToken: members["aws_session_token"].map { Secret($0) }),
            expires: nil)
    }

    private func session(_ role: Role) -> Role {
        var role = role
        if let session = variable("AWS_ROLE_SESSION_NAME") { role.session = session }
        return role
    }

    /// The service that is the same for all regions signs as this one.
    private static var stsRegion: String { "us-east-1" }
}
