import HTTP
import ObjectStorage
import Testing

struct ProxyTests {
    @Test(
        arguments: [
            (["HTTPS_PROXY": "http://p:3128"], true, "s3.x.com", "p:3128"),
            (["https_proxy": "p:3128", "HTTPS_PROXY": "q"], true, "s3.x.com", "p:3128"),
            (["HTTPS_PROXY": "http://p:3128"], false, "s3.x.com", nil),
            (["HTTP_PROXY": "p"], false, "s3.x.com", "p:80"),
            (["ALL_PROXY": "p:1"], true, "s3.x.com", "p:1"),
            (["HTTPS_PROXY": "p", "NO_PROXY": "x.com"], true, "s3.x.com", nil),
            (["HTTPS_PROXY": "p", "NO_PROXY": ".x.com"], true, "s3.x.com", nil),
            (["HTTPS_PROXY": "p", "NO_PROXY": "*.x.com, y"], true, "s3.x.com", nil),
            (["HTTPS_PROXY": "p", "NO_PROXY": "3.x.com"], true, "s3.x.com", "p:80"),
            (["HTTPS_PROXY": "p", "NO_PROXY": "x.com:443"], true, "s3.x.com", nil),
            (["HTTPS_PROXY": "p", "NO_PROXY": "x.com:8443"], true, "s3.x.com", "p:80"),
            (["HTTPS_PROXY": "p", "NO_PROXY": "*"], true, "s3.x.com", nil),
            (["HTTPS_PROXY": "p", "NO_PROXY": "10.0.0.0/8"], true, "10.1.2.3", nil),
            (["HTTPS_PROXY": "p", "NO_PROXY": "10.0.0.0/16"], true, "10.1.2.3", "p:80"),
            (["HTTP_PROXY": "p"], false, "169.254.169.254", nil),
            (["HTTP_PROXY": "p"], false, "metadata.google.internal", nil),
            (["HTTP_PROXY": "p"], false, "localhost", nil),
            (["HTTPS_PROXY": "p:99999"], true, "s3.x.com", nil),
            (["HTTPS_PROXY": ""], true, "s3.x.com", nil),
        ] as [([String: String], Bool, String, String?)])
    func chosen(_ environment: [String: String], _ isSecure: Bool, _ host: String, _ expected: String?) {
        let proxy = ProxyRules(environment).proxy(for: HTTPOrigin(isSecure: isSecure, host: host))
        #expect(proxy.map { "\($0.host):\($0.port)" } == expected)
    }

    @Test func login() {
        let proxy = ProxyRules(["HTTPS_PROXY": "http://me:p%40ss@[::1]:8080/"]).proxy(for: HTTPOrigin(host: "a.b"))
        #expect(proxy?.host == "::1" && proxy?.port == 8080 && proxy?.login == "me:p@ss")
    }
}
