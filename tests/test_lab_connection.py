"""`lab_connection`: what a kernel says goes to the page at once, in the JupyterLab that `make lab` starts."""

import asyncio
import socket

import traitlets
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from stn_course.lab_connection import PromptConnection


class Connection(PromptConnection):
    """One that takes a handler which is not Jupyter's own, and so needs no server around it."""

    websocket_handler = traitlets.Any()


class Handler(WebSocketHandler):
    """As Jupyter's: the connection to the kernel is made when the socket is open."""

    async def open(self):
        await Connection(websocket_handler=self).connect()
        no_delay = self.ws_connection.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await self.write_message(str(no_delay))


def test_small_packets_are_sent_at_once_and_the_kernel_is_connected_as_ever(monkeypatch):
    connected = []

    async def connect(connection):
        connected.append(connection)

    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", connect)

    async def ask() -> str:
        listening, port = bind_unused_port()
        server = HTTPServer(Application([("/", Handler)]))
        server.add_socket(listening)
        client = await websocket_connect(f"ws://127.0.0.1:{port}/")
        answer = await client.read_message()
        client.close()
        server.stop()
        await server.close_all_connections()
        return answer

    assert asyncio.run(ask()) not in (None, "0")
    assert len(connected) == 1
