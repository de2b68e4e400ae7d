import HTTP
import KubernetesClient

/// `patroni.yml` of a cluster; JSON is YAML.
struct PatroniConfiguration {
    let cluster: DatabaseCluster

    static let directory = "/etc/patroni"
    static let restoreDirectory = "/etc/permafrost-restore"
    static let restPort = 8008
    /// Key of the password, in the users' Secret, without which Patroni's interface changes nothing.
    static let restPassword = "patroni-password"

    /// Patroni, unless somebody holds the server to replace its data directory (`restore --in-place`): then it is stopped,
    /// the answer repeats what the hold says, and nothing is touched or started until the hold is gone. It ends as
    /// Patroni ends.
    ///
    /// How far the old server had come is forgotten once it was replaced: Patroni promotes no member that is behind that.
    ///
    /// When Patroni is to end while it starts PostgreSQL, as after its rights went with a deleted cluster, it waits for a
    /// server that may wait for WAL for ever: 15 s later the server is stopped in order, and Patroni with it.
    ///
    /// Patroni leaves `restore_command` out of a primary's configuration, which `pg_rewind` needs when it has become none:
    /// WAL since the last checkpoint that both have may be in the archive alone.
    ///
    /// Before Patroni starts: it gives up a directory that a restore or a copy has not filled, since a file that tells the
    /// system's identifier is written last. A restore goes on in it; a copy begins anew. Nothing else is removed.
    static let start = """
        hold=$PGDATA.hold
        held=$PGDATA.held
        base=$PGDATA/postgresql.base.conf
        restore_command='\(restoreCommand)'
        child=
        ends=
        trap 'ends=1; [ -z "$child" ] || kill -TERM "$child"' TERM INT
        pause() { sleep 1 & wait "$!"; }
        forget() {
            python3 -c '
        import json, os, ssl, urllib.request
        account = "/var/run/secrets/kubernetes.io/serviceaccount/"
        own = json.load(open("\(directory)/patroni.yml"))
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        place = (("[%s]" if ":" in host else "%s") % host, os.environ["KUBERNETES_SERVICE_PORT"])
        path = "/api/v1/namespaces/%s/endpoints/%s" % (own["kubernetes"]["namespace"], own["scope"])
        change = json.dumps({"metadata": {"annotations": {"optime": None}}}).encode()
        request = urllib.request.Request("https://%s:%s" % place + path, change, method="PATCH", headers={
            "Authorization": "Bearer " + open(account + "token").read().strip(),
            "Content-Type": "application/merge-patch+json"})
        context = ssl.create_default_context(cafile=account + "ca.crt")
        urllib.request.urlopen(request, context=context, timeout=10)
        '
        }
        late() {
            trap - TERM INT
            sleep 15
            pg_ctl stop -D "$PGDATA" -m fast -t 90
            pg_ctl status -D "$PGDATA" || { sleep 5; kill -KILL "$1"; }
        }
        while :; do
            while [ -e "$hold" ]; do
                [ -z "$ends" ] || exit 0
                cmp -s "$hold" "$held" || { cp "$hold" "$held.new" && mv "$held.new" "$held"; }
                pause
            done
            rm -f "$held" "$held.new"
            if [ -n "$KUBERNETES_SERVICE_HOST" ] && grep -qs '"phase":"released"' "$PGDATA.restoring"; then
                until [ -n "$ends" ] || forget; do pause; done
            fi
            rm -rf "$PGDATA.failed"
            if [ -e "$PGDATA/global/pg_control" ]; then
                rm -rf "$PGDATA.partial"
            elif [ -e "$PGDATA/backup.manifest" ]; then
                rm -rf "$PGDATA.partial"
                mv "$PGDATA" "$PGDATA.partial"
            elif [ -e "$PGDATA/backup_label" ]; then
                rm -rf "$PGDATA"
            fi
            if [ -e "$base" ] && ! grep -q '^restore_command' "$base"; then
                printf "\\nrestore_command = '%s'\\n" "$restore_command" >> "$base"
            fi
            patroni \(directory)/patroni.yml &
            child=$!
            while [ -z "$ends" ] && [ ! -e "$hold" ] && kill -0 "$child" 2> /dev/null; do pause; done
            holds=
            [ ! -e "$hold" ] || { holds=1; cp "$hold" "$held.new"; }
            # A signal may have come before the number of the child was known.
            [ -z "$ends$holds" ] || kill -TERM "$child" 2> /dev/null
            late "$child" > /dev/null 2>&1 & watch=$!
            while wait "$child"; status=$?; kill -0 "$child" 2> /dev/null; do :; done
            child=
            kill "$watch" 2> /dev/null
            [ -z "$ends" ] && [ -n "$holds" ] || exit "$status"
            # Patroni that is paused, or was killed, leaves PostgreSQL running.
            while pg_ctl status -D "$PGDATA" > /dev/null 2>&1; do pg_ctl stop -D "$PGDATA" -m fast -t 600; done
        done
        """

    /// Patroni tells by itself that its loop hangs. A server that is held has no Patroni, and is none that hangs. The image
    /// has no program that speaks HTTP, but bash.
    static let isAlive = """
        [ -e "$PGDATA.hold" ] && exit 0
        exec 3<> /dev/tcp/127.0.0.1/\(restPort) || exit 1
        printf 'GET /liveness HTTP/1.0\\r\\n\\r\\n' >&3
        read -r _ code _ <&3
        [ "$code" = 200 ]
        """

    /// The database's first users, of which a Secret has a script; Patroni calls it with a connection.
    static let bootstrapDirectory = "/etc/permafrost-bootstrap"
    var script: String {
        """
        [ ! -e \(Self.bootstrapDirectory)/users.sql ] || exec \(Self.binaries(cluster.major))/psql -X -q \\
            -v ON_ERROR_STOP=1 -d "$1" -f \(Self.bootstrapDirectory)/users.sql

        """
    }

    /// Of a standby: its roles have the passwords of the cluster that it follows. When it leads itself they become its own,
    /// as those of a copy do when it begins. Patroni takes passwords out of its environment; that of the first process has
    /// them.
    var promotedScript: String {
        """
        case "$2" in primary | master | promoted) ;; *) exit 0 ;; esac
        while IFS= read -r -d '' entry; do
            case "$entry" in PATRONI_*_PASSWORD=*) export "$entry" ;; esac
        done < /proc/1/environ
        psql=\(Self.binaries(cluster.major))/psql
        until [ "$("$psql" -XAtq -d postgres -c 'SELECT pg_is_in_recovery()')" = f ]; do sleep 1; done
        "$psql" -X -q -v ON_ERROR_STOP=1 -d postgres <<'END'
        SET log_statement = 'none';
        SET log_min_duration_statement = -1;
        \\getenv superuser PATRONI_SUPERUSER_PASSWORD
        \\getenv replication PATRONI_REPLICATION_PASSWORD
        ALTER ROLE postgres PASSWORD :'superuser';
        SELECT 'CREATE ROLE replicator' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'replicator') \\gexec
        ALTER ROLE replicator LOGIN REPLICATION PASSWORD :'replication';
        END
        exec bash \(Self.directory)/bootstrap.sh dbname=postgres

        """
    }

    private static func binaries(_ major: Int) -> String { "/usr/lib/postgresql/\(major)/bin" }

    static let archiveCommand = "permafrost --stanza=\(OperatorNames.stanza) archive-push %p"
    static let restoreCommand = "permafrost --stanza=\(OperatorNames.stanza) archive-get %f \"%p\""

    var json: ServiceJSON {
        var bootstrap: ServiceJSON = [
            "dcs": dynamic,
            "initdb": [
                "data-checksums", ["encoding": "UTF8"], ["locale": "C.UTF-8"], ["auth-host": "scram-sha-256"],
                ["auth-local": "peer"],
            ],
        ]
        if let restore = cluster.restore {
            bootstrap["method"] = "permafrost"
            bootstrap["permafrost"] = [
                "command": .text(Self.command(restore, major: cluster.major)), "keep_existing_recovery_conf": true,
                "no_params": true,
            ]
        }
        var replica: ServiceJSON = [
            "command": .text(
                "permafrost --stanza=\(OperatorNames.stanza)"
                    + (cluster.standby.map { " --repo=\($0.repository)" } ?? "") + " --type=standby --delta restore"),
            "keep_data": true, "no_params": true,
        ]
        // The first member of a standby has nobody to copy from.
        if cluster.standby != nil { replica["no_leader"] = true }
        if cluster.users != nil { bootstrap["post_bootstrap"] = .text("sh \(Self.directory)/bootstrap.sh") }
        return [
            "scope": .text(cluster.key.name),
            "bootstrap": bootstrap,
            "kubernetes": [
                "namespace": .text(cluster.key.namespace ?? "default"), "use_endpoints": true,
                "scope_label": .text(OperatorNames.cluster), "role_label": "role",
                "labels": [OperatorNames.part: .text(ClusterObjects.Part.database.rawValue)],
                "ports": [["name": "postgres", "port": 5432]],
            ],
            "restapi": ["listen": .text("0.0.0.0:\(Self.restPort)")],
            "postgresql": [
                "listen": "*:5432", "data_dir": .text(EngineConfiguration.dataDirectory),
                "bin_dir": .text(Self.binaries(cluster.major)), "pgpass": "/tmp/pgpass",
                "use_unix_socket": true, "use_unix_socket_repl": true,
                "parameters": ["unix_socket_directories": .text(EngineConfiguration.socketDirectory)],
                "authentication": [
                    "superuser": ["username": "postgres"], "replication": ["username": "replicator"],
                ],
                "pg_hba": [
                    "local all postgres peer", "local all all scram-sha-256",
                    "local replication replicator scram-sha-256",
                    "host replication replicator all scram-sha-256", "host all all all scram-sha-256",
                ],
                "create_replica_methods": .array(replicaMethods.map { .text($0) }),
                "permafrost": replica,
                "basebackup": ["checkpoint": "fast"],
                "callbacks": cluster.standby == nil
                    ? [:] : ["on_role_change": .text("bash \(Self.directory)/promoted.sh")],
            ],
        ]
    }

    /// What Patroni keeps for all members, and takes up without a restart where PostgreSQL can.
    var dynamic: ServiceJSON {
        var postgresql: ServiceJSON = [
            "use_pg_rewind": true, "use_slots": true,
            // A former primary that cannot be rewound is made anew, from the repository; it would never come up again.
            "remove_data_directory_on_rewind_failure": true,
            "parameters": .object(parameters.mapValues { .text($0) }),
        ]
        if cluster.isArchiving { postgresql["recovery_conf"] = ["restore_command": .text(Self.restoreCommand)] }
        var own: ServiceJSON = ["ttl": 30, "loop_wait": 10, "retry_timeout": 10, "postgresql": postgresql]
        if let standby = cluster.standby, standby.isFollowing {
            own["standby_cluster"] = [
                "create_replica_methods": ["permafrost"],
                "restore_command": .text(
                    "permafrost --stanza=\(OperatorNames.stanza) --repo=\(standby.repository) archive-get %f \"%p\""),
            ]
        }
        own["synchronous_mode"] = .bool(cluster.synchronous != nil)
        own["synchronous_mode_strict"] = .bool(cluster.synchronous?.isStrict ?? false)
        own["synchronous_node_count"] = ServiceJSON(cluster.synchronous?.members ?? 1)
        return own.merging(cluster.patroniSettings)
    }

    /// Ours count: without them nothing is archived.
    private var parameters: [String: String] {
        cluster.parameters.merging(ownParameters) { _, own in own }
    }

    private var ownParameters: [String: String] {
        [
            "archive_mode": "on",
            // Without a repository nobody wants WAL; as soon as there is one, this changes without a restart.
            "archive_command": cluster.isArchiving ? Self.archiveCommand : "/bin/true",
            "archive_timeout": "\(cluster.archiveTimeout)s",
            "max_wal_senders": "20", "wal_level": "logical", "password_encryption": "scram-sha-256",
            "wal_log_hints": "on",
        ]
    }

    private var replicaMethods: [String] { cluster.isArchiving ? ["permafrost", "basebackup"] : ["basebackup"] }

    static func command(_ restore: WantedRestore, major: Int) -> String {
        var words = ["permafrost"]
        if let found = restore.found, found.text == nil {
            words.append("--repo=\(found.key)")
        } else {
            words += [
                "--config=\(restoreDirectory)/restore.conf", "--config-include-path=\(restoreDirectory)/conf.d",
            ]
        }
        words += ["--stanza=\(restore.stanza)", "--delta"]
        if let label = restore.label {
            words += ["--set=\(label)", "--type=\(restore.target.kind.rawValue)"]
            if let value = restore.target.value { words.append("--target=\(value)") }
            if let timeline = restore.target.timeline { words.append("--target-timeline=\(timeline)") }
            if restore.target.kind != .default { words.append("--target-action=promote") }
            if !restore.target.isInclusive, [.lsn, .time, .xid].contains(restore.target.kind) {
                words.append("--target-exclusive")
            }
        } else {
            words += restore.options.map { "--\($0.name)=\($0.value)" }
            let type = restore.options.first { $0.name == "type" }?.value ?? "default"
            if type != "default" { words.append("--target-action=promote") }
        }
        words.append("restore")
        // Patroni ends without an error when it fails: what it says goes where the pod's status shows it.
        let data = EngineConfiguration.dataDirectory
        let script =
            "[ ! -d \(data).partial ] || mv \(data).partial \(data); { "
            + words.map(quoted).joined(separator: " ")
            + " && { [ \"$(cat \(data)/PG_VERSION)\" = \(major) ] || { echo \"the backup is of PostgreSQL "
            + "$(cat \(data)/PG_VERSION), and the cluster is to be of \(major)\"; false; }; }; } 2>&1 "
            + "| tee /dev/termination-log"
        return ["bash", "-o", "pipefail", "-c", script].map(quoted).joined(separator: " ")
    }

    /// As a shell reads it, and Patroni.
    private static func quoted(_ word: String) -> String {
        word.utf8.allSatisfy(isPlain) ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "="),
            UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
