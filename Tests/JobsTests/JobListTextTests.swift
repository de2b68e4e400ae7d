import HTTP
import Testing

@testable import Jobs

struct JobListTextTests {
    private func job(_ text: String) throws -> ServiceJSON { try #require(ServiceJSON(Array(text.utf8))) }

    @Test func `jobs in columns`() throws {
        let jobs = try [
            job(
                #"{"id":"20261121-181000-123-5d1f0c9e8b7a6f5e4d3c","client":"cron","created":60,"state":"running","is-cancelled":true,"request":{"command":"backup","stanza":"main"}}"#
            ),
            job(
                #"{"id":"20261121-181000-122-5d1f0c9e8b7a6f5e4d3c","client":"db","created":7,"state":"completed","request":{"command":"stanza-create","stanza":"x"}}"#
            ), job("{}"),
        ]
        let text = JobListText.table(jobs) { "at \($0)" }
        #expect(
            text
                == """
                job                                       command        stanza  state                 started  client
                20261121-181000-123-5d1f0c9e8b7a6f5e4d3c  backup         main    running, told to end  at 60    cron
                20261121-181000-122-5d1f0c9e8b7a6f5e4d3c  stanza-create  x       completed             at 7     db

                """)
        #expect(JobListText.table([], time: { _ in "" }) == "job  command  stanza  state  started  client")
    }

    @Test func `all that there is to know of one`() throws {
        let text = JobListText.description(
            try job(
                #"{"id":"i","client":"c","created":1,"state":"failed","request":{"command":"backup","stanza":"m","key":"k","options":{"type":"full","annotation":["a=b","c=d"],"delta":true}},"result":{"exit-code":55,"timestamp":{"start":1,"stop":9},"error":{"code":55,"message":"no file","hint":"look"}}}"#
            )
        ) { "at \($0)" }
        #expect(
            text == """
                job: i
                command: backup
                stanza: m
                options: annotation=a=b c=d, delta=true, type=full
                client: c
                key: k
                state: failed
                started: at 1
                ended: at 9
                exit code: 55
                error: no file
                hint: look
                """)
    }
}
