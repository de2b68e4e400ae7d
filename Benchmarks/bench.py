"""A cluster, the command lines of both tools, and what they take: what the benchmarks share."""

import os
import pwd
import resource
import shutil
import socket
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = ["permafrost", "pgbackrest"]
# What "not supported by this version" ends with: an option, a value or a command that is not known yet.
UNSUPPORTED = (31, 32, 67)


class Unsupported(Exception):
    pass


def free_port():
    for port in range(21000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


class Bench:
    def __init__(self, options):
        self.options = options
        self.bin = f"/usr/lib/postgresql/{options.postgres}/bin"
        self.scratch = options.scratch
        self.tmpfs = options.tmpfs
        self.servers = []
        self.port = free_port()
        self.user = pwd.getpwnam("postgres")
        for path in (self.scratch, self.tmpfs):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        # User postgres must be able to run it, wherever the source tree lies.
        self.program = f"{self.scratch}/program/bin/permafrost"
        for part in ("bin", "libexec"):
            shutil.copytree(f"{ROOT}/{part}", f"{self.scratch}/program/{part}")
        self.demote()

    # Processes

    def demote(self):
        """PostgreSQL refuses root. Done once, because forking to another user would be part of what is timed."""
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        os.environ["HOME"] = self.scratch
        os.chdir(self.scratch)

    def quiet(self, *command):
        done = subprocess.run(command, cwd=self.scratch, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def tree_memory(self, group):
        total = 0
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                if int(fields[3]) != group:  # session
                    continue
                total += self.process_memory(entry)
            except (OSError, ValueError, IndexError):
                continue
        return total

    @staticmethod
    def process_memory(process):
        try:
            with open(f"/proc/{process}/smaps_rollup") as file:
                lines = [line for line in file if line.startswith("Pss:")]
        except PermissionError:
            # A process with secrets lets nobody look into it; what it shares counts in full then.
            with open(f"/proc/{process}/status") as file:
                lines = [line for line in file if line.startswith("VmRSS:")]
        return sum(int(line.split()[1]) * 1024 for line in lines)

    def measure(self, *command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        process = subprocess.Popen(
            command, start_new_session=True, close_fds=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        peak = 0
        stop = threading.Event()

        def sample():
            nonlocal peak
            while not stop.wait(0.05):
                peak = max(peak, self.tree_memory(process.pid))

        sampler = threading.Thread(target=sample) if self.options.memory else None
        if sampler:
            sampler.start()
        output, _ = process.communicate()
        wall = time.perf_counter() - start
        stop.set()
        if sampler:
            sampler.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode in UNSUPPORTED and command[0] == self.program:
            raise Unsupported(output.decode().strip())
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed with {process.returncode}:\n{output.decode()}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": wall, "cpu": cpu, "memory": peak}

    # The cluster

    def make_cluster(self):
        data = f"{self.scratch}/data"
        self.quiet(f"{self.bin}/initdb", "-D", data, "-k", "-A", "trust", "--no-sync")
        with open(f"{data}/postgresql.conf", "a") as file:
            file.write(
                f"port={self.port}\nunix_socket_directories='{self.scratch}'\nlisten_addresses=''\n"
                "archive_mode=on\narchive_command='true'\nmax_wal_size=8GB\nfsync=off\nautovacuum=off\n")
        self.quiet(f"{self.bin}/pg_ctl", "-D", data, "-l", f"{self.scratch}/postgres.log", "-w", "start")
        self.quiet(
            f"{self.bin}/pgbench", "-h", self.scratch, "-p", str(self.port), "-i", "-q", "-F", "90", "-s",
            str(self.options.scale), "postgres")
        # Updated pages look like those of a database in use.
        self.quiet(
            f"{self.bin}/pgbench", "-h", self.scratch, "-p", str(self.port), "-c", "4", "-t",
            str(self.options.transactions), "-n", "postgres")
        self.sql("checkpoint")
        # A segment of real WAL for archive-push.
        self.sql("select pg_switch_wal()")
        names = sorted(name for name in os.listdir(f"{data}/pg_wal") if len(name) == 24)
        self.segment = f"{self.scratch}/{names[0]}"
        shutil.copy(f"{data}/pg_wal/{names[0]}", self.segment)

    def sql(self, statement):
        return self.quiet(
            f"{self.bin}/psql", "-h", self.scratch, "-p", str(self.port), "-Atqc", statement, "postgres")

    def stop(self):
        subprocess.run(
            [f"{self.bin}/pg_ctl", "-D", f"{self.scratch}/data", "-m", "immediate", "stop"], capture_output=True)
        if not self.options.keep:
            for path in (self.scratch, self.tmpfs):
                for name in os.listdir(path):
                    shutil.rmtree(os.path.join(path, name), ignore_errors=True)

    # The tools

    def command(self, tool, compress, options=None, data=None, program=None, repositories=1, name=""):
        """The command line of a tool, up to the command, with a configuration file of its own."""
        if not program:
            program = self.program if tool == "permafrost" else self.options.pgbackrest
        config = f"{self.scratch}/{tool}{name}.conf"
        settings = {
            "lock-path": f"{self.scratch}/lock-{tool}", "log-level-file": "off", "log-level-console": "warn",
            "spool-path": f"{self.scratch}/spool-{tool}", "compress-type": compress, "process-max": "2",
            "start-fast": "y", "resume": "n"}
        for key in range(1, repositories + 1):
            settings[f"repo{key}-path"] = f"{self.tmpfs}/{tool}{key if key > 1 else ''}"
            settings[f"repo{key}-retention-full"] = "1"
        settings.update(options or {})
        with open(config, "w") as file:
            file.write("[global]\n" + "".join(f"{key}={value}\n" for key, value in settings.items()))
            file.write(
                f"[main]\npg1-path={data or self.scratch + '/data'}\npg1-port={self.port}\n"
                f"pg1-socket-path={self.scratch}\n")
        os.chmod(config, 0o644)
        return [program, f"--config={config}", "--stanza=main"]

    def archive_by(self, base):
        command = " ".join(base) + " archive-push %p"
        # pgBackRest backs up only servers whose command has its name in it.
        self.sql(f"alter system set archive_command = '{command} # pgbackrest'")
        self.sql("select pg_reload_conf()")

    def warm(self, path=None):
        for directory, _, files in os.walk(path or f"{self.scratch}/data"):
            for name in files:
                try:
                    with open(f"{directory}/{name}", "rb", buffering=0) as file:
                        while file.read(1 << 22):
                            pass
                except OSError:
                    pass

    def size(self, path):
        total = 0
        for directory, _, files in os.walk(path):
            for name in files:
                file = os.path.join(directory, name)
                if not os.path.islink(file):
                    total += os.path.getsize(file)
        return total

    def archive_data(self):
        """A data directory that is enough for archive-push, with 64 segments that wait for it."""
        data = f"{self.scratch}/archiving"
        shutil.rmtree(data, ignore_errors=True)
        os.makedirs(f"{data}/global", mode=0o700)
        os.makedirs(f"{data}/pg_wal/archive_status")
        for name in ("PG_VERSION", "global/pg_control"):
            shutil.copy(f"{self.scratch}/data/{name}", f"{data}/{name}")
        names = [f"0000000100000007{number:08X}" for number in range(self.options.segments)]
        for name in names:
            shutil.copy(self.segment, f"{data}/pg_wal/{name}")
            open(f"{data}/pg_wal/archive_status/{name}.ready", "w").close()
        return data, names

    def push_all(self, base, data, names):
        """As PostgreSQL does it: one call after the other, each until it succeeds. CPU includes what runs on behind."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        for name in names:
            command = [*base, "archive-push", f"pg_wal/{name}"]
            done = subprocess.run(command, close_fds=False, cwd=data, capture_output=True, text=True)
            if done.returncode in UNSUPPORTED and command[0] == self.program:
                raise Unsupported(done.stdout + done.stderr)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        wall = time.perf_counter() - start
        self.reap()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": wall, "cpu": cpu, "memory": 0}

    def reap(self):
        """Waits for the processes that commands have left running."""
        ours = {server.pid for server in self.servers}
        while True:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                others = [int(word) for word in file.read().split() if int(word) not in ours]
            if not others:
                return
            os.waitpid(others[0], 0)

    @staticmethod
    def row(name, results, what):
        theirs = results["pgbackrest"][what]
        ours = results.get("permafrost", {}).get(what)
        line = f"{name:30}"
        for key in ("wall", "cpu"):
            line += f"{ours[key]:7.3f}" if ours else "      –"
            line += f"{theirs[key]:8.3f}"
            line += f"{ours[key] / max(theirs[key], 1e-9):7.2f}" if ours else "      –"
        if ours and theirs["memory"]:
            a, b = ours["memory"], theirs["memory"]
            line += f"{a / 2**20:7.0f}{b / 2**20:7.0f}{a / max(b, 1):6.2f}"
        sizes = [results.get(tool, {}).get("size") for tool in TOOLS]
        if what == "backup" and all(sizes):
            line += f"{sizes[0] / sizes[1]:8.3f}"
        print(line, flush=True)

    def archive_id(self, tool):
        return f"{self.options.postgres}-1"

    @staticmethod
    def note(results, tool, what, measured):
        best = results.setdefault(tool, {}).setdefault(what, dict(measured))
        for key in ("wall", "cpu"):
            best[key] = min(best[key], measured[key])
        best["memory"] = max(best["memory"], measured["memory"])
