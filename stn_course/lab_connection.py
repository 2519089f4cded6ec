"""Between a kernel and its page in JupyterLab: what a kernel says goes to the page at once.

A slider's new picture comes after two small messages: the kernel is busy, the slider has this value. TCP puts off a
small packet until the one before has been acknowledged (Nagle), and the receiver puts off acknowledging it (40 ms on
Linux). Jupyter's server leaves Nagle on: at five presses of a key a second, every other picture came 40 ms late.
"""

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Between a kernel and a page, with no delay of small packets: for `ServerApp.kernel_websocket_connection_class`.

    Source: RFC 896 (Nagle), RFC 1122 4.2.3.2 (delayed acknowledgement).

    Example:
        >>> from jupyter_server.serverapp import ServerApp
        >>> ServerApp(
        ...     kernel_websocket_connection_class=f"{__name__}.PromptConnection"
        ... ).kernel_websocket_connection_class
        <class 'stn_course.lab_connection.PromptConnection'>
    """

    def connect(self):
        """Connect to the kernel; as the server's own, and the page's socket sends packets of any size at once."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()
