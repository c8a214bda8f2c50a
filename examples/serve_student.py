"""A student is exported, served over HTTP on this machine, and asked; half a minute on two cores.

A notebook as a script: each `# %%` begins a cell. It writes into the folder `serve_student`. The
server answers as the REST interface of TensorFlow Serving does, so that the same requests go to
that one later: it is here to try requests with, not to put before the public.
"""

# %% A student of uint8 pictures: handwritten digits.
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_prokt import ProKTDistiller
from keras_prokt.front_ends import ImageFrontEnd

digits = load_digits()
pictures = (digits.images[..., None] * 255 / 16).round().astype("uint8")
front_end = ImageFrontEnd((8, 8), mean=[0.3], standard_deviation=[0.37])


def network(units):
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


keras.utils.set_random_seed(0)
distiller = ProKTDistiller(network(256), network(16))
distiller.compile(keras.optimizers.Adam(1e-2), teacher_optimizer=keras.optimizers.Adam(3e-3))
distiller.fit(front_end.normalize(pictures[:1500]), digits.target[:1500], epochs=15, verbose=0)

# %% What a server loads: versions of the student alone, with what pictures go through before it.
names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
version = distiller.export("serve_student/digits", front_end=front_end, class_names=names)


# %% A server on loopback. Keras and this package are not needed to answer.
served = tf.saved_model.load("serve_student/digits/1")
answer = served.signatures["serving_default"]


class Predict(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        outputs = answer(image=tf.constant(request["inputs"]["image"], tf.uint8))
        texts = {
            k: v.numpy().astype("U" if v.dtype == tf.string else None) for k, v in outputs.items()
        }
        body = json.dumps({"outputs": {k: v.tolist() for k, v in texts.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Predict)
threading.Thread(target=server.serve_forever, daemon=True).start()

# %% A request: uint8 pictures, as a client has them.
url = f"http://127.0.0.1:{server.server_port}/v1/models/digits:predict"
body = json.dumps({"inputs": {"image": pictures[1500:1510].tolist()}}).encode()
with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
    outputs = json.load(response)["outputs"]
server.shutdown()
truths = [names[digit] for digit in digits.target[1500:1510]]
for name, probabilities, truth in zip(
    outputs["class_name"], outputs["probabilities"], truths, strict=True
):
    print(f"{name:6} {max(probabilities):.2f}   it is {truth}")
assert np.mean(np.array(outputs["class_name"]) == truths) >= 0.8
