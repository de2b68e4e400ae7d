import BackupModel
import Glibc

/// The nice value of this process, `priority`.
enum ProcessPriority {
    /// For every thread that there is: Linux keeps a value for each, and new ones take it over.
    static func set(_ value: Int) throws(BackupError) {
        guard let directory = opendir("/proc/self/task") else { throw failure(value) }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let thread = UInt32(name) else { continue }
            if setpriority(__priority_which_t(PRIO_PROCESS.rawValue), thread, Int32(clamping: value)) != 0,
                errno != ESRCH
            {
                throw failure(value)
            }
        }
    }

    private static func failure(_ value: Int) -> BackupError {
        BackupError(
            .kernel, "unable to set the priority of the process to \(value): \(String(cString: strerror(errno)))",
            hint: "only root may make a process more urgent; use a priority that is not lower than the present one")
    }
}
