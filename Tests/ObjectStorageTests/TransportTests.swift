import BackupModel
import ObjectStorage
import Testing

struct TransportTests {
    @Test(arguments: [("ECDHE+AESGCM:!aNULL", true), ("HIGH:MEDIUM:+3DES:!aNULL", true), ("NONSENSE", false)])
    func ciphers(_ text: String, isValid: Bool) {
        var options = TransportOptions()
        options.ciphers = text
        do throws(BackupError) {
            _ = try NetworkTransport(options)
            #expect(isValid)
        } catch {
            #expect(!isValid && error.code == .optionInvalidValue && error.message.contains("tls-cipher-12"))
        }
    }

    @Test(arguments: ["/nonexistent", "/etc/hostname"])
    func noCertificates(_ file: String) {
        var options = TransportOptions()
        options.caFile = file
        #expect(throws: BackupError.self) { try NetworkTransport(options) }
    }
}
