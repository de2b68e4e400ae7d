/// Why a request is not handed to the handler: the status that says so, and a reason for people.
struct RequestFault: Error, Equatable {
    var status: Int
    var reason: String

    init(_ status: Int, _ reason: String) {
        self.status = status
        self.reason = reason
    }
}
