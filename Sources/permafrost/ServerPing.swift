import BackupModel
import HTTP
import ObjectStorage

/// `server-ping`: whether something at an address answers as a server of ours does. It shows no certificate, and so
/// learns no more than that.
struct ServerPing {
    private let configuration: Configuration

    init(_ configuration: Configuration) { self.configuration = configuration }

    func run() async throws(BackupError) {
        var host = configuration.parameters.first ?? configuration.string(.tlsServerAddress) ?? "localhost"
        // What a server listens on when it listens on all addresses is none of them.
        if ["*", "0.0.0.0", "::"].contains(host) { host = "localhost" }
        let origin = HTTPOrigin(host: host, port: configuration.integer(.tlsServerPort) ?? 8432)
        var options = TransportOptions()
        if let timeout = configuration.duration(.ioTimeout) { options.timeout = timeout }
        options.minimumTLS = .v13
        options.verifiesPeer = false
        let transport = try NetworkTransport(options)
        do throws(TransportError) {
            let response = try await transport.send(HTTPRequest("GET", origin, path: "/v1/ping"))
            await response.body.close()
        } catch {
            // It wants a certificate: it is there.
            if error.kind == .certificate { return }
            throw BackupError(
                error.kind == .cancelled ? .terminated : .hostConnect,
                error.kind == .cancelled ? "terminated on signal" : error.reason,
                hint: "does a server run there, and does it listen on this address and port?")
        }
    }
}
