extension Command {
    /// One line for the list of commands.
    package var summary: String {
        switch self {
        case .annotate: "add, change or remove notes on a backup"
        case .archiveGet: "fetch a WAL file from the archive (restore_command)"
        case .archivePush: "store a WAL file in the archive (archive_command)"
        case .backup: "back up a database cluster"
        case .check: "check that backups and archiving can work"
        case .completion: "write a script that completes command lines in a shell"
        case .expire: "remove backups and WAL that the retention no longer keeps"
        case .help: "show commands and options"
        case .info: "show what is in the repositories"
        case .job: "run a command on another host, and look after what runs there"
        case .manifest: "show the list of files of a backup"
        case .repoGet: "print a file of a repository"
        case .repoLs: "list files of a repository"
        case .repoPut: "store a file in a repository"
        case .repoRm: "remove a file from a repository"
        case .restore: "restore a database cluster"
        case .agent: "run commands for other hosts"
        case .kubectl: "see, back up and restore clusters on Kubernetes"
        case .kubernetesOperator: "look after PostgreSQL and its backups on Kubernetes"
        case .server: "serve repositories to other hosts"
        case .serverPing: "check that a server answers"
        case .stanzaCreate: "prepare the repositories for a stanza"
        case .stanzaDelete: "delete a stanza with all its backups and WAL"
        case .stanzaUpgrade: "take a stanza to a new major version of PostgreSQL"
        case .start: "allow commands to run again"
        case .stop: "keep commands from running"
        case .tls: "make certificates for hosts that work together"
        case .verify: "read a repository back and check all of it"
        case .version: "show the version"
        }
    }

    /// What follows the command on its line of usage.
    var parameterUsage: String {
        switch self {
        case .archiveGet: " WAL-FILE DESTINATION"
        case .archivePush: " WAL-PATH"
        case .completion: " bash|zsh|fish"
        case .help: " [COMMAND [OPTION]]"
        case .job: " COMMAND | list | show ID | follow ID | cancel ID"
        case .kubectl: " status | backup | restore [options]"
        case .repoGet, .repoPut, .repoRm: " FILE"
        case .repoLs: " [PATH]"
        case .serverPing: " [HOST]"
        case .tls: " init [NAME] | issue NAME... | renew [NAME...]"
        default: ""
        }
    }

    /// A paragraph for the help of the command.
    var details: String {
        switch self {
        case .archiveGet:
            "PostgreSQL calls it during recovery, as restore_command = 'permafrost --stanza=main archive-get %f "
                + "\"%p\"'. Repositories are searched in their order. The exit status is 0 when the file was found, "
                + "1 when no repository has it, and above 1 after an error."
        case .archivePush:
            "PostgreSQL calls it for each finished WAL segment, as archive_command = 'permafrost --stanza=main "
                + "archive-push %p'. It succeeds only when every configured repository has the segment."
        case .backup:
            "The backup goes into the first repository, or into those that --repo names, in one pass over the "
                + "database. It is complete when all WAL that makes it consistent is in the archive. Afterwards expire "
                + "runs, unless --no-expire-auto."
        case .check:
            "Connects to PostgreSQL, compares it with the stanza in every repository, and makes it switch to a new "
                + "WAL segment to see the old one arrive in the archive. Without --stanza all stanzas of the "
                + "configuration are checked."
        case .completion:
            "For bash: source <(permafrost completion bash). For zsh: permafrost completion zsh, into a file _permafrost "
                + "of fpath. For fish: permafrost completion fish | source. 'make install' puts all three in place."
        case .expire:
            "Runs by itself after each backup. All repositories are covered unless --repo chooses one. "
                + "--dry-run shows what would go."
        case .info:
            "Without --stanza all stanzas are shown; with --set one backup in full. --output=json is for programs."
        case .job:
            "job COMMAND has an agent (pgN-host), or for expire, verify, info and annotate a repository host (repoN-host), run "
                + "the command with its own configuration and with the options of the command that are given here; shows "
                + "its log; and ends with its exit code. The last line is the result, a JSON object. A job goes on when "
                + "the connection is lost, and is cancelled when this command is told to end. list shows jobs, follow goes "
                + "on showing the log of one, cancel ends one. With --repo these ask the repository host."
        case .restore:
            "PostgreSQL must be stopped, and the data directory empty unless --delta or --force is given. By default "
                + "the newest backup is restored and PostgreSQL recovers to the end of the archive; --type and "
                + "--target recover to an earlier moment. --in-place replaces the database of a server that runs under "
                + "a supervisor, and keeps the old one until the new one is up. --dry-run only checks."
        case .stanzaCreate:
            "Run it once, on a running PostgreSQL, before WAL can be archived. Running it again does no harm."
        case .stanzaDelete:
            "All backups and all WAL of the stanza in the repository are lost. The stanza must be stopped first: "
                + "see the stop command."
        case .stanzaUpgrade:
            "Run it after pg_upgrade, when PostgreSQL runs in its new version. Older backups stay restorable."
        case .start:
            "Ends what the stop command began, for one stanza or for all."
        case .stop:
            "Commands of the stanza, or of all stanzas without --stanza, end with an error until start is run. With "
                + "--force those that run now are ended as well."
        case .tls:
            "init makes a certificate authority. issue makes a certificate and its key, for a host that is server, client "
                + "or both; the first name is the one of tls-server-auth, more names and addresses may follow. renew, to "
                + "be run daily, renews certificates that have less than a third of their life left, with the same names "
                + "and key; 'renew ca' the authority's own. The configuration is not read. Certificates from elsewhere "
                + "work as well."
        case .annotate:
            "Notes are given with --annotation=key=value, as often as need be; one without a value is removed. The backup "
                + "is changed in every repository that has it, or in the one that --repo names."
        case .help:
            "--help and -h after a command do the same. --man writes the manual page."
        case .version:
            "--output=num prints one number that grows with each version."
        case .verify:
            "Reads all backups and all WAL of the stanza, or with --set one backup with what it rests on and its WAL, "
                + "and compares them with their checksums; and says from where to where recovery is possible. Ends "
                + "with 26 when something is damaged, with 55 when something is missing and all else is sound."
        case .manifest:
            "Shows the files of a backup, by default the newest, and where each is stored."
        case .repoGet:
            "The path is relative to the repository, or absolute in it. The file is decrypted, but not decompressed, "
                + "unless --raw is given."
        case .repoLs:
            "The path is relative to the repository, or absolute in it; without one the repository itself is listed."
        case .repoPut:
            "Standard input is stored under the path, encrypted as the path demands unless --raw is given."
        case .repoRm:
            "A directory that is not empty is removed with --recurse only. Nothing is asked."
        case .agent:
            "Runs beside PostgreSQL. Other hosts, which name this one in pgN-host, have their backup, check, stanza-create "
                + "and stanza-upgrade commands run here, and what they ask for by the job command, as processes with the "
                + "configuration of this host. Runs until "
                + "SIGTERM or SIGINT, which jobs survive; SIGHUP makes it read its configuration and certificates again."
        case .kubectl:
            "The same as 'kubectl permafrost', for which the program is called kubectl-permafrost. Its options are "
                + "its own: 'permafrost kubectl --help' lists them. Where the cluster is, and in which namespace, the "
                + "configuration of kubectl says."
        case .kubernetesOperator:
            "Keeps clusters, repositories and backups as SGCluster, SGObjectStorage and SGBackup objects say, in all "
                + "namespaces or in those of --watch-namespaces. The API server is found as kubectl finds it: by KUBECONFIG, "
                + "or by the service account of the pod. Of several operators one works; the others wait for its lease in "
                + "--operator-namespace. Runs until SIGTERM or SIGINT; what it keeps runs on without it."
        case .server:
            "Serves the directories that repoN-path names to other hosts, which name this one in repoN-host. Runs until "
                + "SIGTERM or SIGINT; SIGHUP makes it read its configuration and certificates again."
        case .serverPing:
            "Succeeds when something at the address answers as a server of ours does. No certificate is shown or checked: "
                + "use check to find out whether this host may use its repositories."
        }
    }
}
