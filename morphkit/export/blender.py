"""A photo's camera for Blender, in the world into which Blender puts an imported glTF file."""

from __future__ import annotations

from typing import Any

import numpy as np

from morphkit.export.camera import PhotoCamera

METRE = 1e-3  # metres in a millimetre
SENSOR_WIDTH = 36.0  # millimetres, full frame
_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # glTF's y up to Blender's z up
_CAMERA = np.diag([1.0, -1.0, -1.0])  # OpenCV's camera axes to Blender's: x right, y up, looks along -z
_SKEW = 1e-6  # of the focal length

SNIPPET = '''"""Blender: put the photo's camera into the scene (Scripting workspace, open this file, Run).

Import face.glb first (File > Import > glTF 2.0); the camera then shows it as the photo does.
"""

import json
import pathlib

import bpy
from mathutils import Matrix

folder = pathlib.Path(bpy.path.abspath(bpy.context.space_data.text.filepath)).parent
values = json.loads((folder / "camera.json").read_text())["blender"]

camera = bpy.data.cameras.new("photo")
camera.type, camera.sensor_fit = "PERSP", "HORIZONTAL"
camera.sensor_width, camera.lens = values["sensor_width"], values["lens"]
camera.shift_x, camera.shift_y = values["shift_x"], values["shift_y"]
camera.clip_start, camera.clip_end = values["clip_start"], values["clip_end"]

placed = bpy.data.objects.new("photo", camera)
placed.matrix_world = Matrix(values["matrix_world"])
bpy.context.collection.objects.link(placed)

scene = bpy.context.scene
scene.camera = placed
scene.render.resolution_x, scene.render.resolution_y = values["resolution_x"], values["resolution_y"]
scene.render.resolution_percentage = 100
scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = values["pixel_aspect_x"], values["pixel_aspect_y"]
'''
"""``blender_camera.py``."""


def blender_camera(camera: PhotoCamera) -> dict[str, Any]:
    """Return a photo's camera as Blender's properties.

    Blender's world is z up, in metres: where its importer puts a glTF file whose head looks along +z with y
    up. There the head looks along -y.

    Parameters
    ----------
    camera : without skew and mirroring, as those of fits are.

    Returns
    -------
    dict
        ``matrix_world`` (4, 4); ``lens`` and ``sensor_width`` in millimetres, the sensor fitted
        horizontally; ``shift_x``, ``shift_y`` in widths of the picture; ``resolution_x``, ``resolution_y``;
        ``pixel_aspect_x``, ``pixel_aspect_y``; ``clip_start``, ``clip_end`` in metres.

    Raises
    ------
    ValueError
        When K has a skew or a negative focal length: Blender's camera has neither.
    """
    (fx, skew, cx), (below, fy, cy), _ = camera.K.tolist()
    if min(fx, fy) <= 0 or max(abs(skew), abs(below)) > _SKEW * fx:
        raise ValueError(f"camera: expected K without skew and with positive focal lengths, got {camera.K}")
    turned = _CAMERA @ camera.R @ _WORLD.T  # Blender's world to Blender's camera
    centre = -_WORLD @ camera.R.T @ camera.t * METRE
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned.T, centre
    # A pixel's height in its width; Blender allows aspects of at least 1.
    tall = fx / fy
    distance = METRE * float(np.linalg.norm(camera.t))
    return {
        "matrix_world": matrix,
        "lens": fx * SENSOR_WIDTH / camera.width,
        "sensor_width": SENSOR_WIDTH,
        "sensor_fit": "HORIZONTAL",
        "shift_x": (0.5 * camera.width - cx) / camera.width,
        "shift_y": tall * (cy - 0.5 * camera.height) / camera.width,
        "resolution_x": camera.width,
        "resolution_y": camera.height,
        "pixel_aspect_x": max(1.0, 1.0 / tall),
        "pixel_aspect_y": max(1.0, tall),
        "clip_start": 0.01 * distance,
        "clip_end": 10.0 * distance,
    }
