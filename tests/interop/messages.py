"""Messages: the operations that messages.rs has under the same names."""

from mpi4py import MPI

from contents import Contents

READY = 999


def told(status, got):
    """What a status says, in the words of messages.rs."""
    source, tag = status.Get_source(), status.Get_tag()
    if source == MPI.PROC_NULL:
        return "nobody, 0 bytes"
    bytes_of_it = status.Get_elements(MPI.BYTE) if got is None else status.Get_count(got.mpi) * got.size
    return f"rank {source}, tag {tag}, {bytes_of_it} bytes"



def send_all(case, comm, contents):
    """Sends the messages of a case to the rank that receives them."""
    mode, dest, tag = case["send"], case["to"], case.get("tag", 7)
    persistent = mode.endswith("_init")
    count, messages = case["count"], case.get("messages", 2)
    if mode.lstrip("i").startswith("rsend"):
        comm.Recv(bytearray(1), source=dest, tag=READY)
    buffers = [contents.full(count, 0 if persistent else number) for number in range(messages)]
    method = getattr(comm, mode.capitalize())
    if persistent:
        request = method(contents.spec(buffers[0]), dest=dest, tag=tag)
        for _ in range(messages):
            request.Start()
            request.Wait()
        request.Free()
    elif mode.startswith("i"):
        requests = [method(contents.spec(buffer), dest=dest, tag=tag) for buffer in buffers]
        MPI.Request.Waitall(requests)
    else:
        for buffer in buffers:
            method(contents.spec(buffer), dest=dest, tag=tag)


def receive_all(case, comm, contents, record):
    mode, count = case["recv"], case["count"]
    room, messages = case.get("room", count), case.get("messages", 2)
    source = MPI.ANY_SOURCE if case.get("any_source") else case["from"]
    tag = MPI.ANY_TAG if case.get("any_tag") else case.get("tag", 7)
    ready = case["send"].lstrip("i").startswith("rsend")
    buffers = [contents.untouched(room) for _ in range(messages)]

    def keep(number, status):
        record.text("status", told(status, contents))
        record.elements("received", contents.dtype, buffers[number])

    if ready and mode in ("irecv", "irecv_test"):
        requests = [comm.Irecv(contents.spec(buffer), source, tag) for buffer in buffers]
        comm.Send(bytearray(1), dest=case["from"], tag=READY)
        for number, request in enumerate(requests):
            status = MPI.Status()
            request.Wait(status)
            keep(number, status)
        return
    if mode == "recv_init":
        buffer = buffers[0]
        request = comm.Recv_init(contents.spec(buffer), source, tag)
        for number in range(messages):
            request.Start()
            if ready and number == 0:
                comm.Send(bytearray(1), dest=case["from"], tag=READY)
            status = MPI.Status()
            request.Wait(status)
            buffers[number] = buffer
            keep(number, status)
        request.Free()
        return
    for number, buffer in enumerate(buffers):
        status, spec = MPI.Status(), contents.spec(buffer)
        match mode:
            case "recv":
                comm.Recv(spec, source, tag, status)
            case "irecv":
                comm.Irecv(spec, source, tag).Wait(status)
            case "irecv_test":
                request = comm.Irecv(spec, source, tag)
                while not request.Test(status):
                    pass
            case "probe" | "iprobe":
                if mode == "probe":
                    comm.Probe(source, tag, status)
                else:
                    while not comm.Iprobe(source, tag, status):
                        pass
                record.text("probed", told(status, None))
                comm.Recv(spec, status.Get_source(), status.Get_tag(), status)
            case "mprobe" | "mprobe_irecv":
                message = comm.Mprobe(source, tag, status)
                record.text("probed", told(status, None))
                if mode == "mprobe":
                    message.Recv(spec, status)
                else:
                    message.Irecv(spec).Wait(status)
            case "improbe":
                message = comm.Improbe(source, tag, status)
                while message is None:
                    message = comm.Improbe(source, tag, status)
                record.text("probed", told(status, None))
                message.Recv(spec, status)
        keep(number, status)


def message(case, comm, record):
    """One rank sends to another, in some mode; the other receives, in some way."""
    contents = Contents(case, comm.rank)
    if comm.rank == case["from"]:
        send_all(case, comm, contents)
    if comm.rank == case["to"]:
        receive_all(case, comm, contents, record)


def truncated(case, comm, record):
    """A message that does not fit, and one that does."""
    contents = Contents(case, comm.rank)
    if comm.rank == case["from"]:
        comm.Send(contents.spec(contents.full(case["count"])), case["to"], 1)
        comm.Send(contents.spec(contents.full(case["room"], 1)), case["to"], 1)
    if comm.rank == case["to"]:
        buffer, status = contents.untouched(case["room"]), MPI.Status()
        if case["count"] > 1000:
            # Open MPI 4.1.4 writes behind a buffer that is much too small.
            message = comm.Mprobe(case["from"], 1)
            message.Recv(contents.spec(contents.untouched(case["count"])))
            record.text("first", "truncated")
        else:
            try:
                comm.Recv(contents.spec(buffer), case["from"], 1)
                record.text("first", "it was received")
            except MPI.Exception as error:
                is_truncated = error.Get_error_class() == MPI.ERR_TRUNCATE
                record.text("first", "truncated" if is_truncated else str(error))
        comm.Recv(contents.spec(buffer), case["from"], 1, status)
        record.text("status", told(status, contents))
        record.elements("received", contents.dtype, buffer)


def wildcards(case, comm, record):
    """Every rank sends three messages of different lengths to one, which takes them from anybody."""
    contents, tags = Contents(case, comm.rank), (5, 6, 5)
    if comm.rank != case["to"]:
        for number, tag in enumerate(tags):
            comm.Send(contents.spec(contents.full(case["count"] + number, number)), case["to"], tag)
        return
    received = []
    for _ in range(3 * (comm.size - 1)):
        buffer, status = contents.untouched(case["count"] + 2), MPI.Status()
        if case["recv"] == "recv":
            comm.Recv(contents.spec(buffer), MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        else:
            comm.Mprobe(MPI.ANY_SOURCE, MPI.ANY_TAG).Recv(contents.spec(buffer), status)
        received.append((status, buffer))
    # Which rank was faster is nobody's promise.
    for status, buffer in sorted(received, key=lambda pair: pair[0].Get_source()):
        record.text("status", told(status, contents))
        record.elements("received", contents.dtype, buffer)


def posted_order(case, comm, record):
    """Receives that wait take messages in the order in which they were posted."""
    contents = Contents(case, comm.rank)
    if comm.rank == case["to"]:
        buffers = [contents.untouched(case["count"]) for _ in case["tags"]]
        wanted = [MPI.ANY_TAG if tag is None else tag for tag in case["wanted"]]
        source = MPI.ANY_SOURCE if case.get("any_source") else case["from"]
        requests = [comm.Irecv(contents.spec(buffer), source, tag) for buffer, tag in zip(buffers, wanted)]
        comm.Send(bytearray(1), dest=case["from"], tag=READY)
        statuses = [MPI.Status() for _ in requests]
        MPI.Request.Waitall(requests, statuses)
        for status, buffer in zip(statuses, buffers):
            record.text("status", told(status, contents))
            record.elements("received", contents.dtype, buffer)
    if comm.rank == case["from"]:
        comm.Recv(bytearray(1), source=case["to"], tag=READY)
        for number, tag in enumerate(case["tags"]):
            comm.Send(contents.spec(contents.full(case["count"], number)), case["to"], tag)


def shift(case, comm, record):
    """Every rank sends to the right and receives from the left, around the ring or up to its ends."""
    contents = Contents(case, comm.rank)
    right, left = comm.rank + 1, comm.rank - 1
    if case.get("periodic", True):
        right, left = right % comm.size, left % comm.size
    else:
        right = MPI.PROC_NULL if right == comm.size else right
        left = MPI.PROC_NULL if left < 0 else left
    send, status = contents.full(case["count"]), MPI.Status()
    receive = contents.untouched(case["count"])
    match case["send"]:
        case "sendrecv":
            comm.Sendrecv(contents.spec(send), right, 3, contents.spec(receive), left, 3, status)
        case "sendrecv_replace":
            receive = send
            comm.Sendrecv_replace(contents.spec(receive), right, 3, left, 3, status)
        case "isend":
            requests = [comm.Irecv(contents.spec(receive), left, 3), comm.Isend(contents.spec(send), right, 3)]
            requests[0].Wait(status)
            requests[1].Wait()
    record.text("status", told(status, contents))
    record.elements("received", contents.dtype, receive)


def cancelled(case, comm, record):
    """A receive that nothing comes for is cancelled; what comes later is received by the next."""
    contents = Contents(case, comm.rank)
    if comm.rank == case["to"]:
        buffer, status = contents.untouched(case["count"]), MPI.Status()
        request = comm.Irecv(contents.spec(buffer), case["from"], 4)
        request.Cancel()
        request.Wait(status)
        record.text("first", "cancelled" if status.Is_cancelled() else "not cancelled")
        comm.Send(bytearray(1), dest=case["from"], tag=READY)
        comm.Recv(contents.spec(buffer), case["from"], 4)
        record.elements("received", contents.dtype, buffer)
    if comm.rank == case["from"]:
        comm.Recv(bytearray(1), source=case["to"], tag=READY)
        comm.Send(contents.spec(contents.full(case["count"])), case["to"], 4)


def dropped(case, comm, record):
    """Messages that were taken and not received are received in their order; here none is taken."""
    contents = Contents(case, comm.rank)
    if comm.rank == case["from"]:
        for number in range(4):
            comm.Send(contents.spec(contents.full(case["count"], number)), case["to"], 4)
    if comm.rank == case["to"]:
        for _ in range(4):
            buffer, status = contents.untouched(case["count"]), MPI.Status()
            comm.Recv(contents.spec(buffer), MPI.ANY_SOURCE, MPI.ANY_TAG, status)
            record.text("status", told(status, contents))
            record.elements("received", contents.dtype, buffer)


def crossing(case, comm, record):
    """Every rank exchanges messages with all, itself among them, all at once."""
    contents, count = Contents(case, comm.rank), case["count"]
    receive = [contents.untouched(count) for _ in range(comm.size)]
    requests = [comm.Irecv(contents.spec(buffer), rank, 8) for rank, buffer in enumerate(receive)]
    send = [contents.full(count, rank) for rank in range(comm.size)]
    requests += [comm.Isend(contents.spec(buffer), rank, 8) for rank, buffer in enumerate(send)]
    MPI.Request.Waitall(requests)
    for buffer in receive:
        record.elements("received", contents.dtype, buffer)


OPERATIONS = {
    function.__name__: function
    for function in (message, truncated, wildcards, posted_order, shift, cancelled, dropped, crossing)
}
