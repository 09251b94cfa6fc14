"""The items: a page for people, JSON for programs."""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, status
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.database import SessionDependency
from app.models import Item
from app.settings import SettingsDependency

HEADLINE = "Items on board"

router = APIRouter()
templates = Jinja2Templates(Path(__file__).parent / "templates")


class NewItem(BaseModel):
    """What a client sends."""

    name: str = Field(min_length=1, max_length=100)
    description: str = ""


class StoredItem(NewItem):
    """What a client gets."""

    model_config = ConfigDict(from_attributes=True)

    id: int


@router.get("/", response_class=HTMLResponse)
async def page(request: Request, session: SessionDependency, settings: SettingsDependency) -> HTMLResponse:
    """List the items of the database."""
    items = await session.scalars(select(Item).order_by(Item.name))
    context = {"headline": HEADLINE, "items": items.all(), "commit": settings.git_sha}
    return templates.TemplateResponse(request, "index.html", context)


@router.get("/api/items")
async def list_items(session: SessionDependency) -> list[StoredItem]:
    """List the items by name."""
    items = await session.scalars(select(Item).order_by(Item.name))
    return [StoredItem.model_validate(item) for item in items]


@router.post("/api/items", status_code=status.HTTP_201_CREATED)
async def create_item(new: NewItem, session: SessionDependency) -> StoredItem:
    """Add an item; 409 when the name is taken."""
    item = Item(name=new.name, description=new.description)
    session.add(item)
    try:
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, f"there is an item named {new.name!r} already") from error
    return StoredItem.model_validate(item)
